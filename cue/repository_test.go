package meshmodule_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
)

// quickstart returns a copy of the example, with the module of this checkout.
func quickstart(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	module := filepath.Join(dir, "cue.mod", "pkg", filepath.FromSlash(meshmodule.Path))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "examples", "quickstart"))); err != nil {
		t.Fatal(err)
	}
	// The example's copy of the module may be stale.
	if err := os.RemoveAll(module); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(module, meshmodule.Files); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
