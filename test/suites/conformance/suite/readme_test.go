package suite

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme: worlds/README.md has a line for every world.
func TestReadme(t *testing.T) {
	out := strings.Builder{}
	out.WriteString("# Worlds\n\nSmall mesh repositories, each with what its platform is like (`world.json`; nothing said: as the inventory says) and the traces of its declared calls\n" +
		"(`traces.txt`, rewritten with `go test ./suite -run Worlds -update`). `common/` is in all of them; `matrix/` holds topologies and features that are tried with\n" +
		"each other; `examples/` the traces of the examples of the tree.\n\n| world | what it proves |\n|---|---|\n")
	for _, s := range scenes(t) {
		if filepath.Dir(s.dir) != worldsDir {
			continue
		}
		if s.About == "" {
			t.Errorf("%s: world.json has no about", s.name)
		}
		fmt.Fprintf(&out, "| [%s](%s/traces.txt) | %s |\n", s.name, s.name, s.About)
	}
	golden(t, filepath.Join(worldsDir, "README.md"), out.String())
}
