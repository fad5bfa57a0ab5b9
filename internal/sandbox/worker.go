package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// measureEvery is how often the use of a computing child is measured: Go fills some 10 MiB in that time.
const measureEvery = 10 * time.Millisecond

// errEnded is the error of a call to a worker whose child has ended.
var errEnded = errors.New("the sandboxed process has ended")

// Worker is one child. It serves one call at a time, and as many as it survives.
type Worker struct {
	limits Limits
	child  *child

	mu    sync.Mutex // held during a call
	ended bool
}

// Start starts a child and waits until it is ready. Whoever starts a worker closes it.
func Start(ctx context.Context, limits Limits) (*Worker, error) {
	limits = limits.withDefaults()
	c, err := spawn(limits)
	if err != nil {
		return nil, fmt.Errorf("the sandboxed process cannot be started: %w", err)
	}
	w := &Worker{limits: limits, child: c}
	greeting := limits
	greeting.Time = startTime
	err = w.watch(ctx, greeting, func() error { return c.greet(limits) })
	if err != nil {
		return nil, fmt.Errorf("the sandboxed process does not start: %w", err)
	}
	return w, nil
}

// Enforced is what keeps the child in.
func (w *Worker) Enforced() Enforced { return w.child.enforced }

// Call has the child's handler of that name answer a request. After any error but a [HandlerError], and that of a
// request larger than Limits.Input, the child has ended.
func (w *Worker) Call(ctx context.Context, handler string, request []byte) ([]byte, error) {
	return w.call(ctx, w.limits.CPU, handler, request)
}

func (w *Worker) call(ctx context.Context, cpu time.Duration, handler string, request []byte) ([]byte, error) {
	if int64(len(request)) > w.limits.Input {
		return nil, fmt.Errorf("the input of %s is larger than %s", formatBytes(int64(len(request))), formatBytes(w.limits.Input))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil, errEnded
	}
	limits := w.limits
	limits.CPU = cpu
	var reply frame
	err := w.watch(ctx, limits, func() error {
		if err := writeFrame(w.child.requests, frame{kind: kindRequest, head: handler, body: request}); err != nil {
			// A child that died at it may have said why.
			return err
		}
		var err error
		reply, err = readFrame(w.child.responses, w.limits.Output, kindAnswer, kindFailure)
		return err
	})
	if err != nil {
		return nil, err
	}
	if reply.kind == kindFailure {
		return nil, &HandlerError{Message: string(reply.body)}
	}
	return reply.body, nil
}

// watch runs a conversation with the child. If that fails, goes over a limit or is cancelled, the child is ended, and the
// conversation with it.
func (w *Worker) watch(ctx context.Context, limits Limits, talk func() error) error {
	if err := context.Cause(ctx); err != nil {
		w.end()
		return err
	}
	before, _ := w.child.usage.cpu()
	var said error
	talked := make(chan struct{})
	go func() {
		defer close(talked)
		said = talk()
	}()
	stop := func(err error) error {
		w.end()
		<-talked // it ends, because the pipes are broken
		return err
	}
	wall := time.NewTimer(limits.Time)
	defer wall.Stop()
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-talked:
			if said == nil {
				return nil
			}
			w.end()
			var large tooLarge
			if errors.As(said, &large) {
				return &LimitError{What: Output, Limit: limits.Output, Used: int64(min(large.size, 1<<62))}
			}
			return w.child.died(said, limits)
		case <-ctx.Done():
			return stop(context.Cause(ctx))
		case <-wall.C:
			return stop(&LimitError{What: Time, Limit: int64(limits.Time), Used: int64(limits.Time)})
		case <-tick.C:
			if err := w.over(limits, before); err != nil {
				return stop(err)
			}
		}
	}
}

// over is the limit that the child is over, since its processor time was before.
func (w *Worker) over(limits Limits, before time.Duration) error {
	if used, ok := w.child.usage.memory(); ok && used > limits.Memory {
		return &LimitError{What: Memory, Limit: limits.Memory, Used: used}
	}
	if used, ok := w.child.usage.cpu(); ok && used-before > limits.CPU {
		return &LimitError{What: CPU, Limit: int64(limits.CPU), Used: int64(used - before)}
	}
	return nil
}

// usable tells whether the child lives, and has the better part of its memory left.
func (w *Worker) usable() bool {
	select {
	case <-w.child.exited:
		return false
	default:
	}
	used, ok := w.child.usage.memory()
	return !ok || used < w.limits.Memory/2
}

// Close ends the child, after the call that it may be serving.
func (w *Worker) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.end()
	}
}

func (w *Worker) end() {
	w.ended = true
	w.child.end()
}
