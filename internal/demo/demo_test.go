package demo_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadline is generous: on a busy machine a single API server has taken 20 seconds to start.
const deadline = 4 * time.Minute

var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "isthmus-demo-programs-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../../cmd/...").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := programs(); dir != "" {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// run is a running demo.
type run struct {
	t       *testing.T
	command *exec.Cmd
	// temp is the temporary folder of the demo. It is part of the command line of every process
	// that the demo starts.
	temp string
	out  *output
}

// output can be read while it is written to.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func start(t *testing.T, args ...string) *run {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	r := &run{t: t, temp: t.TempDir(), out: &output{}}
	r.command = exec.CommandContext(ctx, filepath.Join(dir, "isthmus"), append([]string{"demo"}, args...)...)
	r.command.Env = append(os.Environ(), "TMPDIR="+r.temp)
	r.command.Stdout, r.command.Stderr = r.out, r.out
	// At the deadline the demo can still stop its processes.
	r.command.Cancel = func() error { return r.command.Process.Signal(os.Interrupt) }
	r.command.WaitDelay = time.Minute
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// wait returns the exit status, and checks that no process and no file is left.
func (r *run) wait() int {
	r.t.Helper()
	err := r.command.Wait()
	if left := r.processes(); len(left) > 0 {
		r.t.Errorf("processes are left after the demo:\n%s", strings.Join(left, "\n"))
	}
	entries, readErr := os.ReadDir(r.temp)
	if readErr != nil {
		r.t.Error(readErr)
	}
	for _, entry := range entries {
		r.t.Errorf("%s is left in the temporary folder", entry.Name())
	}
	status := r.command.ProcessState.ExitCode()
	r.t.Logf("status %d (%v):\n%s", status, err, r.out)
	return status
}

// processes returns those with the demo's folder in their command line: API servers, etcd,
// controllers.
func (r *run) processes() []string {
	r.t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		r.t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		// The process may end meanwhile.
		line, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err == nil && bytes.Contains(line, []byte(r.temp)) {
			found = append(found, entry.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// until waits for a text in the output.
func (r *run) until(text string) {
	r.t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if strings.Contains(r.out.String(), text) {
			return
		}
	}
	r.t.Errorf("the output does not contain %q after %s", text, deadline)
}

func TestAllChecksPassAndNothingIsLeft(t *testing.T) {
	r := start(t)
	if status := r.wait(); status != 0 {
		t.Errorf("status is %d, want 0", status)
	}
	text := r.out.String()
	last := -1
	for _, want := range []string{
		"one Git repository", "controller", "First sync", "63 resources",
		"1. A service moves", "198.51.100.21 and 198.51.100.22", "2. A service is removed", "no resource mentions recommend",
		"3. Manual edits", "203.0.113.66",
		"4. A broken commit", "services/checkout.cue:8: service checkout calls unknown service serach",
		"none of the", "All checks passed",
	} {
		at := strings.Index(strings.ToLower(text), strings.ToLower(want))
		if at <= last {
			t.Errorf("the output does not contain %q, or not in this order", want)
		}
		last = max(at, last)
	}
	if strings.ContainsAny(text, "\x1b\r") {
		t.Error("the output contains terminal codes, but is not a terminal")
	}
	for _, line := range strings.Split(text, "\n") {
		if len(line) > 140 {
			t.Errorf("a line of %d characters is too long for a terminal: %s", len(line), line)
		}
	}
}

func TestKeptDemoStopsEverythingWhenInterrupted(t *testing.T) {
	r := start(t, "--keep")
	r.until("until Ctrl-C")
	r.until("corrected at once")
	if runtime.GOOS == "linux" {
		// Also proves that processes() finds them: an etcd, three API servers and three
		// controllers.
		if running := r.processes(); len(running) != 7 {
			t.Errorf("%d processes are running, want 7:\n%s", len(running), strings.Join(running, "\n"))
		}
	}
	// Several signals, as from an impatient user and a closed terminal.
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM} {
		if err := r.command.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if status := r.wait(); status != 0 {
		t.Errorf("status is %d, want 0: all checks had passed", status)
	}
}

func TestInterruptWhileStartingStopsEverything(t *testing.T) {
	r := start(t)
	r.until("three API servers with")
	if err := r.command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if status := r.wait(); status == 0 {
		t.Error("status is 0, but the demo was interrupted")
	}
	if !strings.Contains(r.out.String(), "interrupted") {
		t.Error("the output does not say that the demo was interrupted")
	}
}

func TestControllerThatDoesNothingFailsTheFirstCheck(t *testing.T) {
	for name, c := range map[string]struct {
		reason, program string
		want            []string
	}{
		"ends": {
			reason:  "a controller that has ended is noticed at once, long before the timeout",
			program: "#!/bin/sh\necho giving up\n",
			want:    []string{"a check failed (first sync)", "controller has ended (exit status 0)", "giving up"},
		},
		"sleeps": {
			reason:  "a controller that does nothing is noticed by reading the API servers",
			program: "#!/bin/sh\nexec sleep 600\n",
			want:    []string{"a check failed (first sync)", "did not within 3s", "is missing", "no controller has reconciled it", "wrote nothing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "controller")
			if err := os.WriteFile(program, []byte(c.program), 0o755); err != nil {
				t.Fatal(err)
			}
			r := start(t, "--controller", program, "--timeout", "3s")
			if status := r.wait(); status == 0 {
				t.Errorf("%s: status is 0", c.reason)
			}
			for _, want := range c.want {
				if !strings.Contains(r.out.String(), want) {
					t.Errorf("%s: the output does not contain %q", c.reason, want)
				}
			}
		})
	}
}
