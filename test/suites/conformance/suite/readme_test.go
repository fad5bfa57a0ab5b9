package suite

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadmeListsEveryScenario(t *testing.T) {
	out := strings.Builder{}
	out.WriteString("# Scenarios\n" +
		"\n" +
		"Each folder is a small mesh repository. `scenario.json` states how its platform differs from the\n" +
		"inventory. `traces.txt` holds the traces of its declared calls.\n" +
		"`go test ./suite -run Scenario -update` rewrites it.\n" +
		"\n" +
		"`common/` is part of every scenario. `matrix/` holds topologies and features; each feature is tested\n" +
		"in each topology. `examples/` holds the traces of the examples of the project.\n" +
		"\n" +
		"| scenario | what it proves |\n" +
		"|---|---|\n")
	for _, s := range scenarioFolders(t) {
		if filepath.Dir(s.dir) != scenariosDir {
			continue
		}
		if s.About == "" {
			t.Errorf("%s: scenario.json has no about", s.name)
		}
		fmt.Fprintf(&out, "| [%s](%s/traces.txt) | %s |\n", s.name, s.name, s.About)
	}
	golden(t, filepath.Join(scenariosDir, "README.md"), out.String())
}
