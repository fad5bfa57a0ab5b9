package gitops

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// Build builds a command from the checkout with these flags of go build. The base name of path is
// the name of the command. It is built without -race even if the tests run with -race: the race
// detector would change the timing of the command under test.
func Build(ctx context.Context, checkout, path string, flags ...string) error {
	command := filepath.Base(path)
	build := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", path}, flags, []string{"./cmd/" + command})...)
	build.Dir = checkout
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", command, err, out)
	}
	return nil
}

// WriteKubeconfig writes the connection to the file "kubeconfig" in a folder and returns its path.
func WriteKubeconfig(cluster *apiserver.Cluster, connection *rest.Config, folder string) (string, error) {
	text, err := cluster.Kubeconfig(connection)
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "kubeconfig")
	return path, os.WriteFile(path, text, 0o600)
}

// Tail returns the last lines of a log file. Each line is cut at 600 bytes, before the stack trace
// that may follow.
func Tail(log string, lines int) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return fmt.Sprint(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	last := all[max(0, len(all)-lines):]
	for i, line := range last {
		last[i] = line[:min(len(line), 600)]
	}
	return strings.Join(last, "\n")
}
