package suite

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

var update = flag.Bool("update", false, "rewrite the recorded traces and tables")

// isthmus is the command built from this checkout.
var isthmus repo.Command

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "isthmus-conformance-")
	if err == nil {
		root, err = repo.Root()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if isthmus, err = repo.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return m.Run()
}

// root is the root folder of the checkout.
var root string

// scenariosDir holds the mesh repositories of this suite.
var scenariosDir = filepath.Join("..", "scenarios")

// examplesDir holds the examples of the project.
func examplesDir() string { return filepath.Join(root, "examples") }

// golden compares a text with the recorded file. With -update it writes the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: create it with -update", err)
	}
	if diff := cmp.Diff(string(bytes.TrimSpace(want)), string(bytes.TrimSpace([]byte(got)))); diff != "" {
		t.Errorf("%s differs (-recorded +got); if the change is intended, rewrite the file with -update:\n%s", path, diff)
	}
}
