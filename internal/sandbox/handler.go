package sandbox

import (
	"context"
	"fmt"
)

// Handler computes a response. It runs alone in the child. Its context never ends, because the
// parent kills the process instead. A panic is a [CrashError] for the caller.
type Handler func(ctx context.Context, request []byte) (response []byte, err error)

var handlers = map[string]Handler{}

// Handle registers a handler under a name. Call it before [Main], for example in an init function.
func Handle(name string, h Handler) {
	if _, taken := handlers[name]; taken {
		panic(fmt.Sprintf("sandbox: a second handler %q", name))
	}
	handlers[name] = h
}
