package testcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a running program that this package started.
type Process struct {
	command *exec.Cmd
	log     string
	ended   chan struct{}
	err     error
}

// StartProcess starts a program with only the given environment. A Ctrl-C at the terminal does not
// reach it. What it writes is appended to the file log.
func StartProcess(path string, args, environment []string, log string) (*Process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the program has its own descriptor
	command := exec.Command(path, args...)
	command.Stdout, command.Stderr = file, file
	// Not nil, which would inherit the environment: etcd takes flags from ETCD_* variables.
	command.Env = append([]string{}, environment...)
	command.SysProcAttr = ownGroup()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	p := &Process{command: command, log: log, ended: make(chan struct{})}
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Path is the program.
func (p *Process) Path() string { return p.command.Path }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err says how the process ended. It is nil while the process runs.
func (p *Process) Err() error {
	select {
	case <-p.ended:
		if p.err == nil {
			return errors.New("exit status 0")
		}
		return p.err
	default:
		return nil
	}
}

// Stop sends SIGTERM, and kills the process if it still runs after the grace period.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err == nil {
		select {
		case <-p.ended:
			return nil
		case <-time.After(grace):
		}
	}
	return p.Kill()
}

// Kill ends the process with SIGKILL and waits until it has ended. It may be called again.
func (p *Process) Kill() error {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d (%s): %w", p.command.Process.Pid, p.Path(), err)
	}
	<-p.ended
	return nil
}

// LogTail returns the last lines of the log, indented and shortened, or "" if it is empty.
func (p *Process) LogTail() string {
	const lines, width = 8, 400
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	last := strings.Split(strings.TrimSpace(string(text)), "\n")
	last = last[max(0, len(last)-lines):]
	for i, line := range last {
		if len(line) > width {
			line = line[:width] + " ..."
		}
		last[i] = "    " + line
	}
	return strings.TrimRight(strings.Join(last, "\n"), " \n")
}
