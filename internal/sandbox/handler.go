package sandbox

import (
	"context"
	"fmt"
)

// Handler computes a response. It runs in the child, alone, and its context never ends: whoever waits for it kills the
// process. A panic is a [CrashError] for the caller.
type Handler func(ctx context.Context, request []byte) (response []byte, err error)

var handlers = map[string]Handler{}

// Handle registers a handler under a name, before [Main] is called: in an init function, or first thing in main.
func Handle(name string, h Handler) {
	if _, taken := handlers[name]; taken {
		panic(fmt.Sprintf("sandbox: a second handler %q", name))
	}
	handlers[name] = h
}
