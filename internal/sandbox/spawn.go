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

// hardFactor is by how much the kernel's limit of memory lies above the measured one: Go gives pages back, but not the
// addresses of its heap, and those count.
const hardFactor = 2

// startTime is how long a child may take to say hello. It takes tens of milliseconds; a machine may be busy.
const startTime = 30 * time.Second

// child is a running process and the parent's ends of its pipes.
type child struct {
	requests, responses *os.File
	stderr              *lastWords
	usage               *usage
	process             *os.Process
	enforced            Enforced
	// exited is closed when the process has ended and is reaped; state is how.
	exited chan struct{}
	state  *os.ProcessState
}

// spawn starts a child and sets it up.
func spawn(limits Limits) (*child, error) {
	if os.Args[0] == childName {
		return nil, errors.New("this is one itself, whose program does not call sandbox.Main first")
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

	c := &child{requests: requests, responses: responses, stderr: &lastWords{}, exited: make(chan struct{})}
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
	go c.live(cmd, started)
	if err := <-started; err != nil {
		requests.Close()
		responses.Close()
		return nil, err
	}
	return c, nil
}

// live starts the process and stays with it to its end, on one thread: a child is killed with the thread that started it, not only with
// the process (golang.org/issue/27505).
func (c *child) live(cmd *exec.Cmd, started chan<- error) {
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
		started <- fmt.Errorf("its use of memory cannot be measured: %w", err)
		return
	}
	started <- nil
	_ = cmd.Wait() // the state says more
	c.state = cmd.ProcessState
	close(c.exited)
}

// greet hands the child its limits and learns what keeps it in.
func (c *child) greet(limits Limits) error {
	body, err := json.Marshal(setup{Hard: hardFactor * limits.Memory, Memory: limits.Memory, CPU: limits.CPU, Input: limits.Input})
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

// end kills the process, if it has not ended by itself, and returns when nothing of it is left.
func (c *child) end() {
	_ = c.process.Kill() // it may have ended
	<-c.exited
	c.requests.Close()
	c.responses.Close()
	c.usage.close()
}

// died tells why a child that has ended gave no answer, after err in reading it.
func (c *child) died(err error, limits Limits) error {
	crash := &CrashError{Reason: c.state.String(), Stderr: c.stderr.String()}
	switch {
	case errors.Is(err, errNoFrame):
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
