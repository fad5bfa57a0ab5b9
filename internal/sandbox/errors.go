package sandbox

import (
	"fmt"
	"strings"
	"time"
)

// The limited resources of a call.
const (
	Memory = "memory"
	CPU    = "cpu"
	Time   = "time"
	Output = "output"
)

// LimitError reports the limit that a call exceeded. The computation was killed.
type LimitError struct {
	// What is one of Memory, CPU, Time, Output.
	What string
	// Limit and Used are in bytes for Memory and Output, and in nanoseconds for CPU and Time. Used
	// is the last measurement: less than Limit if the kernel denied an allocation, 0 if nothing was
	// measured.
	Limit, Used int64
}

func (e *LimitError) Error() string {
	switch e.What {
	case Memory:
		return fmt.Sprintf("used more than %s of memory", formatBytes(e.Limit))
	case CPU:
		return fmt.Sprintf("used more than %s of processor time", time.Duration(e.Limit))
	case Output:
		return fmt.Sprintf("returned more than %s", formatBytes(e.Limit))
	default:
		return fmt.Sprintf("took longer than %s", time.Duration(e.Limit))
	}
}

// HandlerError is an error that a handler returned. Only its text is transferred.
type HandlerError struct{ Message string }

func (e *HandlerError) Error() string { return e.Message }

// CrashError reports how the child died or broke the protocol.
type CrashError struct {
	// Reason is the end of the process, such as "exit status 2" or "signal: killed", or "sent an
	// invalid response".
	Reason string
	// Panicked: the Go runtime ended the child, by a panic or by a fatal error such as a stack
	// overflow.
	Panicked bool
	// Stderr is the output of the child, at most 16 KiB: its beginning, with the panic, and its
	// end.
	Stderr string
}

// exitPanic is the exit status of the Go runtime after a panic or a fatal error.
const exitPanic = 2

func (e *CrashError) Error() string {
	text := "the sandboxed process died: " + e.Reason
	if e.Reason == "signal: killed" {
		text += " (not by Isthmus; the memory limit of the container may be too low)"
	}
	if why := e.why(); why != "" {
		text += ": " + why
	}
	return text
}

// why returns the most useful line of Stderr: the fatal error of the Go runtime, or else the last
// line.
func (e *CrashError) why() string {
	last := ""
	for line := range strings.Lines(e.Stderr) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, threadFailed) {
			return line
		}
		if line != "" {
			last = line
		}
	}
	return last
}

// threadFailed is the message if there is no memory for the stack of another thread.
const threadFailed = "runtime/cgo: pthread_create failed"

// outOfMemory reports whether the Go runtime died because an allocation failed.
func (e *CrashError) outOfMemory() bool {
	why := e.why()
	if strings.HasPrefix(why, threadFailed) {
		return true
	}
	for _, text := range []string{"out of memory", "runtime: out of memory", "runtime: cannot allocate memory"} {
		if strings.HasPrefix(why, "fatal error: "+text) {
			return true
		}
	}
	return false
}
