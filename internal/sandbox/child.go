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

// childName is argv[0] of a child. Main and process lists recognize a child by it.
const childName = "isthmus-sandbox"

// The child's ends of the two pipes. Standard output and error both go to [CrashError], so that a
// stray print cannot corrupt a response.
const (
	requestFD  = 3
	responseFD = 4
)

// The exit codes of a child that exceeded a limit.
const (
	exitMemory = 86
	exitCPU    = 87
)

// setup is the first message to the child.
type setup struct {
	// Hard is the kernel's limit of memory, and Memory that of Limits, in bytes.
	Hard   int64 `json:"hard"`
	Memory int64 `json:"memory"`
	// CPU is the processor time of one request, and Input the size of one in bytes.
	CPU   time.Duration `json:"cpu"`
	Input int64         `json:"input"`
}

// Main serves requests and does not return if the process was started as a child of a sandbox;
// otherwise it does nothing. Programs that use a sandbox call it first in main, and tests in
// TestMain. Handlers must be registered before.
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

// serve restricts the process and serves requests until the parent closes the pipe.
func serve() error {
	// A terminal sends Ctrl-C to parent and child; only the parent handles it.
	signal.Ignore(os.Interrupt)
	in, out := os.NewFile(requestFD, "requests"), os.NewFile(responseFD, "responses")
	first, err := readFrame(in, mib, kindSetup)
	if err != nil {
		return fmt.Errorf("only Isthmus itself starts this process, with two pipes: %w", err)
	}
	var s setup
	if err := json.Unmarshal(first.body, &s); err != nil {
		return fmt.Errorf("reading the setup: %w", err)
	}
	os.Clearenv() // the Go runtime has already read its variables
	enforced, err := json.Marshal(restrictSelf(s))
	if err != nil {
		return err
	}
	if err := writeFrame(out, frame{kind: kindHello, body: enforced}); err != nil {
		return err
	}
	requests := make(chan frame)
	go receive(in, s.Input, requests)
	for request := range requests {
		_ = limitCPU(s.CPU) // it worked at the start, and the parent measures too
		if err := writeFrame(out, respond(request)); err != nil {
			return err
		}
		releaseMemory()
	}
	return nil
}

// receive reads the pipe during a request too, because its end means that the parent has died.
func receive(in *os.File, limit int64, requests chan<- frame) {
	for {
		request, err := readFrame(in, limit, kindRequest)
		if err != nil {
			os.Exit(0) //nolint:forbidigo // the parent is gone, and the handler may never end
		}
		requests <- request
	}
}

// respond runs the handler of a request.
func respond(request frame) frame {
	handle, ok := handlers[request.head]
	if !ok {
		return frame{kind: kindFailure, body: fmt.Appendf(nil, "there is no sandboxed function %q; this is a bug in Isthmus", request.head)}
	}
	response, err := handle(context.Background(), request.body)
	if err != nil {
		return frame{kind: kindFailure, body: []byte(err.Error())}
	}
	return frame{kind: kindResponse, body: response}
}

// releaseMemory returns the memory of a large request to the system, because the next request may
// come much later.
func releaseMemory() {
	const large = 64 * mib
	if inUse() > large {
		debug.FreeOSMemory()
	}
}

// inUse returns the memory that the Go runtime has from the operating system, in bytes.
func inUse() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
