package gitops

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Build makes a command from the checkout, with these flags of go build. It is without -race even in tests that run with it: the race detector
// would change what is tested. The command is the one that the path ends with.
func Build(ctx context.Context, checkout, path string, flags ...string) error {
	command := filepath.Base(path)
	build := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", path}, flags, []string{"./cmd/" + command})...)
	build.Dir = checkout
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", command, err, out)
	}
	return nil
}

// Tail is the end of a controller's log, for a person: the last lines, without the stack traces that stand at their ends.
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
