package cuecmd_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

func TestBuildUsesTheVersionOfTheToolsModule(t *testing.T) {
	want, err := exec.Command("go", "list", "-modfile=../../../tools/go.mod", "-m", "-f", "{{.Version}}", "cuelang.org/go").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The second call reads the cache.
	first, second := cuecmd.Path(t), cuecmd.Path(t)
	if first != second {
		t.Errorf("first %s, then %s", first, second)
	}
	got, err := exec.Command(first, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), "cue version "+strings.TrimSpace(string(want))) {
		t.Errorf("cue version printed\n%s, tools/go.mod requires %s", got, want)
	}
}
