package parity_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The built command, run as a person does: isthmus as it is released, and apart, which evaluates no two services together
// where it may evaluate them apart. The repositories here have a dozen services at most, of which a released one makes a
// single batch, in which they can see each other; in a large mesh they are in many.
var isthmus, apart string

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "isthmus-parity-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	isthmus, apart = filepath.Join(dir, "isthmus"), filepath.Join(dir, "isthmus-apart")
	overlay, err := batchesOfOne(dir)
	if err != nil {
		return 0, err
	}
	for _, args := range [][]string{{"-o", isthmus}, {"-overlay", overlay, "-o", apart}} {
		args = append(append([]string{"build"}, args...), "github.com/isthmus-mesh/isthmus/cmd/isthmus")
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("building isthmus: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

var batches = regexp.MustCompile(`(?m)^(\s*(?:unitsAtOnce|servicesAtOnce)\s*=\s*)[0-9]+$`)

// batchesOfOne is an overlay for go build under which a batch is one service.
func batchesOfOne(dir string) (string, error) {
	folder, err := filepath.Abs(filepath.Join("..", "..", "internal", "evaluate"))
	if err != nil {
		return "", err
	}
	sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return "", err
	}
	replaced := map[string]string{}
	found := 0
	for _, source := range sources {
		data, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		n := len(batches.FindAllIndex(data, -1))
		if n == 0 {
			continue
		}
		found += n
		replaced[source] = filepath.Join(dir, filepath.Base(source))
		if err := os.WriteFile(replaced[source], batches.ReplaceAll(data, []byte("${1}1")), 0o600); err != nil {
			return "", err
		}
	}
	if found != 2 {
		return "", errors.New("the sizes of batches, unitsAtOnce and servicesAtOnce, are not constants of internal/evaluate any more: tell this test how to make them one")
	}
	data, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}
