package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestChildCanOnlyCompute(t *testing.T) {
	w := start(t, Limits{})
	t.Log(w.Enforced())
	if !w.Enforced().Seccomp {
		t.Fatalf("seccomp is not active, although every Linux for Kubernetes has it: %s", w.Enforced())
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	abstract := fmt.Sprintf("@isthmus-sandbox-test-%d", os.Getpid())
	local, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = local.Close() }()
	for name, tc := range map[string]struct{ handler, request string }{
		"ReadAFile":             {"open", file},
		"ReadAFileOfTheSystem":  {"open", "/etc/passwd"},
		"ReadItsOwnEnvironment": {"open", "/proc/self/environ"},
		"ReadItsParentsMemory":  {"open", fmt.Sprintf("/proc/%d/mem", os.Getpid())},
		"ListADirectory":        {"list", "/"},
		"CheckThatAFileExists":  {"stat", file},
		"WriteAFile":            {"write", file},
		"MakeAFile":             {"write", file + ".new"},
		"DialTCP":               {"dial", "tcp " + tcp.Addr().String()},
		"DialUDP":               {"dial", "udp 127.0.0.1:53"},
		"DialAnAbstractSocket":  {"dial", "unix " + abstract},
		"Listen":                {"listen", "127.0.0.1:0"},
		"RunAProgram":           {"exec", "/bin/true"},
		"BecomeAnotherProgram":  {"replace", "/proc/self/exe"},
		"SignalItsParent":       {"signal", fmt.Sprint(os.Getpid())},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := w.Call(t.Context(), tc.handler, []byte(tc.request))
			var said *HandlerError
			if !errors.As(err, &said) {
				t.Fatalf("was allowed: %q, %v", got, err)
			}
			// File calls fail with ENOENT, so that libraries continue without optional files.
			hidden := slices.Contains([]string{"open", "list", "stat", "write", "exec"}, tc.handler) && strings.Contains(said.Message, "no such file or directory")
			if !hidden && !strings.Contains(said.Message, "operation not permitted") && !strings.Contains(said.Message, "permission denied") {
				t.Errorf("failed for another reason: %v", err)
			}
		})
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "secret" {
		t.Errorf("the file has content %q, %v", content, err)
	}
}

func TestChildInheritsNothing(t *testing.T) {
	t.Setenv("ISTHMUS_TEST_SECRET", "secret")
	// Not closed on exec, like a descriptor that the program which started us left open.
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	left, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(left) }()
	w := start(t, Limits{})
	if got, err := w.Call(t.Context(), "environment", nil); err != nil || len(got) != 0 {
		t.Errorf("environment: %q, %v", got, err)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", w.child.process.Pid))
	if err == nil && strings.Contains(string(environ), "SECRET") { // not readable without privilege
		t.Errorf("the environment is %q", environ)
	}
	got, err := w.Call(t.Context(), "descriptors", nil)
	if err != nil {
		t.Fatal(err)
	}
	// 0 to 2 are /dev/null and the pipe of standard error. The Go runtime may have an epoll and an
	// event descriptor.
	if !strings.HasPrefix(string(got), "0 1 2 3 4") || len(strings.Fields(string(got))) > 7 || strings.Contains(string(got), fmt.Sprint(left)) {
		t.Errorf("descriptor %d should be closed; open are: %s", left, got)
	}
}

func TestAllThreadsAreRestricted(t *testing.T) {
	w := start(t, Limits{})
	if _, err := w.Call(t.Context(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	statuses, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.child.process.Pid))
	if err != nil || len(statuses) < 2 {
		t.Fatalf("threads: %v, %v", statuses, err)
	}
	for _, path := range statuses {
		status, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !strings.Contains(string(status), line) {
				t.Errorf("%s lacks %q", path, line)
			}
		}
	}
}
