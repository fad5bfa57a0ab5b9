package skeleton

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func newFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := Files(Values{Module: "example.com/mesh", Isthmus: "v1.2.3", CUE: "v0.17.1", Go: "1.26"})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestQuickstartHasTheMeshCUEOfTheSkeleton(t *testing.T) {
	got, err := os.ReadFile(filepath.Join("..", "..", "examples", "quickstart", "mesh.cue"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(newFiles(t)["mesh.cue"]), string(got)); diff != "" {
		t.Errorf("examples/quickstart/mesh.cue differs from the skeleton (-skeleton +example):\n%s", diff)
	}
}

func TestWorkflowsAreYAMLWithPinnedVersions(t *testing.T) {
	for _, name := range []string{".github/workflows/mesh.yaml", ".gitlab-ci.yml"} {
		data := string(newFiles(t)[name])
		var parsed map[string]any
		if err := yaml.UnmarshalStrict([]byte(data), &parsed); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range []string{"cuelang.org/go/cmd/cue@v0.17.1\n", "cmd/isthmus@v1.2.3\n", "cue vet ./...", "isthmus vet", "isthmus vendor --check\n"} {
			if !strings.Contains(data, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, data)
			}
		}
	}
}
