package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// kernelMemoryFactor is the ratio of the kernel's memory limit to the measured one. The kernel
// counts heap addresses, and Go returns pages but not addresses.
const kernelMemoryFactor = 2

// startTimeout limits the start of a child. It usually takes tens of milliseconds.
const startTimeout = 30 * time.Second

// child is a running process and the parent's ends of its pipes.
type child struct {
	requests, responses *os.File
	stderr              *outputBuffer
	usage               *usage
	process             *os.Process
	enforced            Enforced
	// exited is closed when the process has ended and was reaped. Then state is set.
	exited chan struct{}
	state  *os.ProcessState
}

// spawn starts a child process.
func spawn(limits Limits) (*child, error) {
	if os.Args[0] == childName {
		return nil, errors.New("this process is a child itself, and its program does not call sandbox.Main first")
	}
	path, err := program()
	if err != nil {
		return nil, err
	}
	theirRequests, requests, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirRequests.Close()
	responses, theirResponses, err := os.Pipe()
	if err != nil {
		requests.Close()
		return nil, err
	}
	defer theirResponses.Close()

	c := &child{requests: requests, responses: responses, stderr: &outputBuffer{}, exited: make(chan struct{})}
	cmd := &exec.Cmd{
		Path:        path,
		Args:        []string{childName},
		Env:         limits.environment(),
		Dir:         "/",
		Stdout:      c.stderr,
		Stderr:      c.stderr,
		ExtraFiles:  []*os.File{requestFD - 3: theirRequests, responseFD - 3: theirResponses},
		SysProcAttr: attributes(),
	}
	started := make(chan error)
	go c.run(cmd, started)
	if err := <-started; err != nil {
		requests.Close()
		responses.Close()
		return nil, err
	}
	return c, nil
}

// run starts the process and waits for its end on one thread, because the death of the thread that
// started a child kills the child (golang.org/issue/27505).
func (c *child) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	c.process = cmd.Process
	var err error
	if c.usage, err = openUsage(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		started <- fmt.Errorf("its memory cannot be measured: %w", err)
		return
	}
	started <- nil
	_ = cmd.Wait() // ProcessState has the result
	c.state = cmd.ProcessState
	close(c.exited)
}

// handshake sends the limits to the child and receives its restrictions.
func (c *child) handshake(limits Limits) error {
	body, err := json.Marshal(setup{Hard: kernelMemoryFactor * limits.Memory, Memory: limits.Memory, CPU: limits.CPU, Input: limits.Input})
	if err != nil {
		return err
	}
	if err := writeFrame(c.requests, frame{kind: kindSetup, body: body}); err != nil {
		return err
	}
	hello, err := readFrame(c.responses, mib, kindHello)
	if err != nil {
		return err
	}
	return json.Unmarshal(hello.body, &c.enforced)
}

// end kills the process unless it has ended, and returns when it is reaped.
func (c *child) end() {
	_ = c.process.Kill() // it may have ended
	<-c.exited
	c.requests.Close()
	c.responses.Close()
	c.usage.close()
}

// exitError explains why an ended child did not respond. err is the error of reading the response.
func (c *child) exitError(err error, limits Limits) error {
	crash := &CrashError{Reason: c.state.String(), Stderr: c.stderr.String()}
	switch {
	case errors.Is(err, errBadFrame):
		crash.Reason = err.Error()
	case c.state.ExitCode() == exitMemory, crash.outOfMemory():
		return &LimitError{What: Memory, Limit: limits.Memory}
	case c.state.ExitCode() == exitCPU:
		return &LimitError{What: CPU, Limit: int64(limits.CPU), Used: int64(c.state.UserTime() + c.state.SystemTime())}
	case c.state.Success() && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		crash.Reason += ": " + err.Error()
	default:
		crash.Panicked = c.state.ExitCode() == exitPanic
	}
	return crash
}
