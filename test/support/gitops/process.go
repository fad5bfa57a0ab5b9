package gitops

import (
	"os"
	"os/exec"
	"slices"
)

// TestFlags make a controller log all that it does and keep the waits of a test short.
var TestFlags = []string{"--log-level=debug", "--min-retry-delay=50ms", "--settle-time=0"}

// Command describes an isthmus-controller process.
type Command struct {
	// Binary and Kubeconfig are files. Home is HOME and TMPDIR of the process.
	Binary, Kubeconfig, Home string
	// Flags override the defaults: no metrics and no health endpoint.
	Flags []string
	// Env is added to HOME, TMPDIR and RUNTIME_NAMESPACE. Nothing is inherited.
	Env []string
	// Output receives stdout and stderr. The caller closes it.
	Output *os.File
}

// Process is a running isthmus-controller. Its methods may be called from several goroutines.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts the process. Nothing stops it but its caller.
func (c Command) Start() (*Process, error) {
	flags := slices.Concat([]string{"--kubeconfig=" + c.Kubeconfig, "--metrics-addr=0", "--health-addr=0"}, c.Flags)
	p := &Process{cmd: exec.Command(c.Binary, flags...), done: make(chan struct{})}
	p.cmd.Env = slices.Concat([]string{"RUNTIME_NAMESPACE=" + Namespace, "HOME=" + c.Home, "TMPDIR=" + c.Home}, c.Env)
	p.cmd.Stdout, p.cmd.Stderr = c.Output, c.Output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal. It fails with [os.ErrProcessDone] after the process has ended.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// Kill sends SIGKILL and does not wait. It has no effect after the process has ended.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// Wait waits for the end of the process and returns the error of [exec.Cmd.Wait].
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}
