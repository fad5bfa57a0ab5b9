package gitops

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Build makes the command isthmus-controller from the checkout. It is without -race even in tests that run with it: the race detector
// would change what is tested.
func Build(ctx context.Context, checkout, path string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/isthmus-controller")
	build.Dir = checkout
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the controller: %w\n%s", err, out)
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
