// Package config_test checks the generated and handwritten manifests.
package config_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// generate runs controller-gen in the root of the repository.
func generate(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=tools/go.mod", "controller-gen", "paths=./api/..."}, args...)...)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("controller-gen: %v\n%s", err, out)
	}
}

func TestGeneratedFilesAreFresh(t *testing.T) {
	crds, code := t.TempDir(), t.TempDir()
	generate(t, "crd", "object", "output:crd:artifacts:config="+crds, "output:object:dir="+code)
	for generated, committed := range map[string]string{
		filepath.Join(crds, "isthmus.dev_meshsyncs.yaml"): "crd/bases/isthmus.dev_meshsyncs.yaml",
		filepath.Join(code, "zz_generated.deepcopy.go"):   "../api/v1alpha1/zz_generated.deepcopy.go",
	} {
		want, err := os.ReadFile(generated)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(committed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale, run make generate: -generated, +committed:\n%s", committed, diff)
		}
	}
}
