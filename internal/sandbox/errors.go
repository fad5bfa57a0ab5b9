package sandbox

import (
	"fmt"
	"strings"
	"time"
)

// What a call can use too much of.
const (
	Memory = "memory"
	CPU    = "cpu"
	Time   = "time"
	Output = "output"
)

// LimitError says which limit a call went over. The computation was killed.
type LimitError struct {
	// What is one of Memory, CPU, Time, Output.
	What string
	// Limit and Used are bytes for Memory and Output, and nanoseconds for CPU and Time. Used is what was last measured:
	// less than Limit where the kernel refused what was asked for, 0 where nothing was measured.
	Limit, Used int64
}

func (e *LimitError) Error() string {
	switch e.What {
	case Memory:
		return fmt.Sprintf("used more than %s of memory", formatBytes(e.Limit))
	case CPU:
		return fmt.Sprintf("used more than %s of processor time", time.Duration(e.Limit))
	case Output:
		return fmt.Sprintf("gave more than %s as an answer", formatBytes(e.Limit))
	default:
		return fmt.Sprintf("took longer than %s", time.Duration(e.Limit))
	}
}

// HandlerError is the error that a handler returned, of which only the text crosses the processes.
type HandlerError struct{ Message string }

func (e *HandlerError) Error() string { return e.Message }

// CrashError says how the child died, or what it did instead of answering.
type CrashError struct {
	// Reason is how it ended: "exit status 2", "signal: killed", "sent something that is no answer".
	Reason string
	// Panicked: the Go runtime ended the child, by a panic or by a fatal error such as a stack
	// overflow.
	Panicked bool
	// Stderr is what it wrote last, at most 16 KiB: its beginning, with the panic, and its end.
	Stderr string
}

// exitPanic is the exit status of the Go runtime after a panic or a fatal error.
const exitPanic = 2

func (e *CrashError) Error() string {
	text := "the sandboxed process died: " + e.Reason
	if e.Reason == "signal: killed" {
		text += " (not by Isthmus; perhaps the container's memory limit is too low for it)"
	}
	if why := e.why(); why != "" {
		text += ": " + why
	}
	return text
}

// why is the line of Stderr that tells most: the one with which the Go runtime gives up, or else the last.
func (e *CrashError) why() string {
	last := ""
	for line := range strings.Lines(e.Stderr) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, noThread) {
			return line
		}
		if line != "" {
			last = line
		}
	}
	return last
}

// noThread is said where there is no memory left for the stack of one more thread.
const noThread = "runtime/cgo: pthread_create failed"

// outOfMemory tells whether the Go runtime gave up because the kernel gave it no more.
func (e *CrashError) outOfMemory() bool {
	why := e.why()
	if strings.HasPrefix(why, noThread) {
		return true
	}
	for _, text := range []string{"out of memory", "runtime: out of memory", "runtime: cannot allocate memory"} {
		if strings.HasPrefix(why, "fatal error: "+text) {
			return true
		}
	}
	return false
}
