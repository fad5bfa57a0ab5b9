// Command slowest runs `go test` and ends with the slowest tests and the number of tests.
//
// The arguments are those of `go test`. A "--" separates several runs, for example of two modules; all of them
// take place, also after a failure. The exit status is 1 if a run fails.
//
//	go run ./test/support/slowest -timeout 40m ./... -- -C test/suites/conformance -count 1 ./...
//
// The output is that of `go test` without -v: one line for each package, and the output of the tests that fail.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
)

// shown is how many tests the list of the slowest has.
const shown = 10

var errFailed = errors.New("tests failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "slowest:", err)
		os.Exit(1) //nolint:forbidigo // a program of its own
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	r := newReport(stdout)
	failed := false
	for _, run := range split(args) {
		before := r.failed
		ok, err := runTests(ctx, run, r, stderr)
		if err != nil {
			return err
		}
		if !ok && r.failed == before {
			// For example an argument that go test does not know.
			r.failed++
		}
		failed = failed || !ok
	}
	r.summary()
	if failed {
		return errFailed
	}
	return nil
}

// split divides arguments at each "--".
func split(args []string) [][]string {
	var runs [][]string
	for {
		i := slices.Index(args, "--")
		if i < 0 {
			return append(runs, args)
		}
		runs, args = append(runs, args[:i]), args[i+1:]
	}
}

// runTests runs `go test` once and returns whether all of it passed.
func runTests(ctx context.Context, args []string, r *report, stderr io.Writer) (ok bool, _ error) {
	// Last, since -C has to be the first flag.
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"test"}, args, []string{"-json"})...)
	// An interrupted run ends as `go test` does, and its tests stop what they have started.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	if err := read(events, r); err != nil {
		return false, errors.Join(err, cmd.Wait())
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	return err == nil, nil
}

func read(events io.Reader, r *report) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) == nil && e.Action != "":
			r.add(e)
		default:
			// The go command itself writes a few messages that are not JSON.
			r.print(string(line))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what go test writes: %w", err)
		}
	}
}
