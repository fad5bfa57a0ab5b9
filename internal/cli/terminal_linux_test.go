package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminal is a pseudo-terminal: what a command writes to tty is gathered.
type terminal struct {
	tty *os.File

	mu   sync.Mutex
	text bytes.Buffer
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number uint32
	var unlocked int32
	ioctl(t, master, syscall.TIOCGPTN, unsafe.Pointer(&number))
	ioctl(t, master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked))
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{tty: tty}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			term.mu.Lock()
			term.text.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _, _ = tty.Close(), master.Close() })
	return term
}

func ioctl(t *testing.T, f *os.File, request uintptr, argument unsafe.Pointer) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(argument)); errno != 0 {
		t.Fatalf("ioctl %x: %v", request, errno)
	}
}

// await waits until the text stands on the terminal.
func (term *terminal) await(t *testing.T, want string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		term.mu.Lock()
		text := term.text.String()
		term.mu.Unlock()
		if strings.Contains(text, want) {
			return text
		}
		if time.Now().After(deadline) {
			t.Fatalf("the terminal never showed %q but\n%q", want, text)
		}
	}
}

func TestProgressIsShownAtATerminalAndCanBeInterrupted(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	write(t, dir, "slow.cue", endless)
	term := newTerminal(t)
	cmd := exec.Command(isthmus, "vet", "--repo", dir, "--timeout", "1h")
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, term.tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	term.await(t, " files, 1 s so far")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// An interrupted command has a status, it is not one that the signal killed.
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("got %v, want exit status 2", err)
	}
	text := term.await(t, "isthmus vet: interrupted")
	if !strings.Contains(text, "\r\x1b[Kisthmus vet: interrupted") {
		t.Errorf("the progress line was not removed: %q", text)
	}
	if stdout.Len() > 0 {
		t.Errorf("stdout: %s", &stdout)
	}
}

func TestColoursAreForTerminalsOnly(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	const green = "\x1b[32mok\x1b[0m"
	for _, tc := range []struct {
		reason   string
		env      string
		coloured bool
	}{
		{"a terminal", "TERM=xterm", true},
		{"a person who declines", "NO_COLOR=1", false},
		{"a terminal that cannot", "TERM=dumb", false},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			term := newTerminal(t)
			cmd := exec.Command(isthmus, "vet", "--repo", dir)
			cmd.Env = append(os.Environ(), "TERM=xterm", tc.env)
			cmd.Stdout = term.tty
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			if text := term.await(t, "resources"); strings.Contains(text, green) != tc.coloured {
				t.Errorf("coloured should be %t: %q", tc.coloured, text)
			}
		})
	}
	if r := run(t, dir, "vet"); strings.Contains(r.stdout, "\x1b") {
		t.Errorf("colours in a pipe: %q", r.stdout)
	}
}
