package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// measureInterval is the time between two measurements of a busy child. Go fills about 10 MiB in
// it.
const measureInterval = 10 * time.Millisecond

// errEnded: the child of the worker has ended.
var errEnded = errors.New("the sandboxed process has ended")

// Worker is a child process. It serves one call at a time.
type Worker struct {
	limits Limits
	child  *child

	mu    sync.Mutex // held during a call
	ended bool
}

// Start starts a child and waits until it is ready. The caller must close the worker.
func Start(ctx context.Context, limits Limits) (*Worker, error) {
	limits = limits.withDefaults()
	c, err := spawn(limits)
	if err != nil {
		return nil, fmt.Errorf("the sandboxed process cannot be started: %w", err)
	}
	w := &Worker{limits: limits, child: c}
	startLimits := limits
	startLimits.Time = startTimeout
	err = w.watch(ctx, startLimits, func() error { return c.handshake(limits) })
	if err != nil {
		return nil, fmt.Errorf("the sandboxed process did not start: %w", err)
	}
	return w, nil
}

// Enforced returns the restrictions of the child.
func (w *Worker) Enforced() Enforced { return w.child.enforced }

// Call sends a request to the handler of this name and returns its response. After an error the
// child has ended, except after a [HandlerError] or if the request exceeds Limits.Input.
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
			return err
		}
		var err error
		reply, err = readFrame(w.child.responses, w.limits.Output, kindResponse, kindFailure)
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

// watch runs an exchange with the child. If it fails, exceeds a limit or is cancelled, watch ends
// the child.
func (w *Worker) watch(ctx context.Context, limits Limits, exchange func() error) error {
	if err := context.Cause(ctx); err != nil {
		w.end()
		return err
	}
	before, _ := w.child.usage.cpu()
	var exchangeErr error
	exchanged := make(chan struct{})
	go func() {
		defer close(exchanged)
		exchangeErr = exchange()
	}()
	stop := func(err error) error {
		w.end()
		<-exchanged // it ends, because the pipes are closed
		return err
	}
	wall := time.NewTimer(limits.Time)
	defer wall.Stop()
	tick := time.NewTicker(measureInterval)
	defer tick.Stop()
	for {
		select {
		case <-exchanged:
			if exchangeErr == nil {
				return nil
			}
			w.end()
			var large frameTooLarge
			if errors.As(exchangeErr, &large) {
				return &LimitError{What: Output, Limit: limits.Output, Used: int64(min(large.size, 1<<62))}
			}
			return w.child.exitError(exchangeErr, limits)
		case <-ctx.Done():
			return stop(context.Cause(ctx))
		case <-wall.C:
			return stop(&LimitError{What: Time, Limit: int64(limits.Time), Used: int64(limits.Time)})
		case <-tick.C:
			if err := w.exceeded(limits, before); err != nil {
				return stop(err)
			}
		}
	}
}

// exceeded returns a LimitError if the child exceeds a limit. before is its processor time at the
// start.
func (w *Worker) exceeded(limits Limits, before time.Duration) error {
	if used, ok := w.child.usage.memory(); ok && used > limits.Memory {
		return &LimitError{What: Memory, Limit: limits.Memory, Used: used}
	}
	if used, ok := w.child.usage.cpu(); ok && used-before > limits.CPU {
		return &LimitError{What: CPU, Limit: int64(limits.CPU), Used: int64(used - before)}
	}
	return nil
}

// usable reports whether the child runs and uses less than half of its memory.
func (w *Worker) usable() bool {
	select {
	case <-w.child.exited:
		return false
	default:
	}
	used, ok := w.child.usage.memory()
	return !ok || used < w.limits.Memory/2
}

// Close ends the child after its current call.
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
