package parity_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Two builds of the command. isthmus is the released one. isthmusUnbatched evaluates one service
// per batch where it can: the repositories have about a dozen services, so the released command
// evaluates them in one batch, while a large mesh has many batches.
var isthmus, isthmusUnbatched string

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
	isthmus, isthmusUnbatched = filepath.Join(dir, "isthmus"), filepath.Join(dir, "isthmus-unbatched")
	overlay, err := overlayWithoutBatches(dir)
	if err != nil {
		return 0, err
	}
	for _, args := range [][]string{{"-o", isthmus}, {"-overlay", overlay, "-o", isthmusUnbatched}} {
		args = append(append([]string{"build"}, args...), "github.com/isthmus-mesh/isthmus/cmd/isthmus")
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build isthmus: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

var batchSizes = regexp.MustCompile(`(?m)^(\s*(?:componentsPerBatch|servicesPerBatch)\s*=\s*)[0-9]+$`)

// overlayWithoutBatches is an overlay for go build that sets the batch sizes to 1.
func overlayWithoutBatches(dir string) (string, error) {
	root, err := filepath.Abs(filepath.Join("..", "..", "..", "internal", "evaluate"))
	if err != nil {
		return "", err
	}
	replaced := map[string]string{}
	found := 0
	err = filepath.WalkDir(root, func(source string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(source) != ".go" {
			return err
		}
		data, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		n := len(batchSizes.FindAllIndex(data, -1))
		if n == 0 {
			return nil
		}
		found += n
		replaced[source] = filepath.Join(dir, filepath.Base(source))
		return os.WriteFile(replaced[source], batchSizes.ReplaceAll(data, []byte("${1}1")), 0o600)
	})
	if err != nil {
		return "", err
	}
	if found != 2 {
		return "", errors.New("the batch sizes componentsPerBatch and servicesPerBatch are not constants of internal/evaluate: adapt this test so that it sets them to 1")
	}
	data, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}
