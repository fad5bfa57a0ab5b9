package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// childName is the child's argv[0]: what tells Main, and whoever looks at the list of processes, what it is.
const childName = "isthmus-sandbox"

// The child's ends of the two pipes. Standard output and error both go to what a CrashError shows: a stray print must not
// end up in an answer.
const (
	requestFD  = 3
	responseFD = 4
)

// The exit codes of a child that finds itself over a limit.
const (
	exitMemory = 86
	exitCPU    = 87
)

// setup is the first thing that the child reads.
type setup struct {
	// Hard is what the kernel may let the child allocate, in bytes, and CPU the processor time of one request.
	Hard   int64         `json:"hard"`
	Memory int64         `json:"memory"`
	CPU    time.Duration `json:"cpu"`
	Input  int64         `json:"input"`
}

// Main serves requests and does not return if the process was started as a sandbox's child; it does nothing otherwise.
// Programs whose packages call a sandbox call it first thing in main, their tests in TestMain. Handlers have to be
// registered before.
func Main() {
	if len(os.Args) == 0 || os.Args[0] != childName {
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1) //nolint:forbidigo // the child is a program of its own
	}
	os.Exit(0) //nolint:forbidigo // the child is a program of its own
}

// serve locks the process in and answers requests until the parent closes the pipe.
func serve() error {
	// A terminal interrupts parent and child alike; it is for the parent to say what that means.
	signal.Ignore(os.Interrupt)
	in, out := os.NewFile(requestFD, "requests"), os.NewFile(responseFD, "responses")
	first, err := readFrame(in, mib, kindSetup)
	if err != nil {
		return fmt.Errorf("is started by Isthmus itself, with two pipes: %w", err)
	}
	var s setup
	if err := json.Unmarshal(first.body, &s); err != nil {
		return fmt.Errorf("reading the setup: %w", err)
	}
	os.Clearenv() // the runtime has read what is for it
	enforced, err := json.Marshal(lockIn(s))
	if err != nil {
		return err
	}
	if err := writeFrame(out, frame{kind: kindHello, body: enforced}); err != nil {
		return err
	}
	requests := make(chan frame)
	go receive(in, s.Input, requests)
	for request := range requests {
		_ = limitCPU(s.CPU) // it worked at the start, and the parent measures as well
		if err := writeFrame(out, answer(request)); err != nil {
			return err
		}
		rest()
	}
	return nil
}

// receive reads on while a request is being worked on, because the end of the pipe is the end of the parent.
func receive(in *os.File, limit int64, requests chan<- frame) {
	for {
		request, err := readFrame(in, limit, kindRequest)
		if err != nil {
			os.Exit(0) //nolint:forbidigo // nobody waits for an answer any more, and the handler may never end
		}
		requests <- request
	}
}

func answer(request frame) frame {
	handle, ok := handlers[request.head]
	if !ok {
		return frame{kind: kindFailure, body: fmt.Appendf(nil, "there is no sandboxed function %q; this is a bug in Isthmus", request.head)}
	}
	response, err := handle(context.Background(), request.body)
	if err != nil {
		return frame{kind: kindFailure, body: []byte(err.Error())}
	}
	return frame{kind: kindAnswer, body: response}
}

// rest gives what the last request needed back, if that was much: the next one may be long in coming.
func rest() {
	const much = 64 * mib
	if inUse() > much {
		debug.FreeOSMemory()
	}
}

// inUse is what the Go runtime has from the operating system, in bytes.
func inUse() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
