package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a controller may take to end its run and give its lease back.
const stopGrace = 20 * time.Second

// process is a program that this one started, and so may stop.
type process struct {
	command *exec.Cmd
	// log is the file that holds what it writes.
	log   string
	ended chan struct{}
	err   error
}

// startProcess starts a program with nothing of this one's environment but what is given.
func startProcess(path string, args, environment []string, log string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own
	command := exec.Command(path, args...)
	command.Stdout, command.Stderr = file, file
	command.Env = environment
	command.SysProcAttr = apart()
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	p := &process{command: command, log: log, ended: make(chan struct{})}
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// exited says how the process ended, nil while it runs.
func (p *process) exited() error {
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

// stop asks the process to end, and ends it if it does not.
func (p *process) stop() error {
	if p.exited() != nil {
		return nil
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err == nil {
		select {
		case <-p.ended:
			return nil
		case <-time.After(stopGrace):
		}
	}
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d (%s): %w", p.command.Process.Pid, p.command.Path, err)
	}
	<-p.ended
	return nil
}

// tail is the end of the log, "" if it is empty.
func (p *process) tail() string {
	const lines, width = 8, 400
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		if len(line) > width {
			line = line[:width] + " ..."
		}
		all[i] = "    " + line
	}
	return strings.TrimRight(strings.Join(all, "\n"), " \n")
}
