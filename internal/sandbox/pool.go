package sandbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

// idleTimeout is how long an idle child is kept: for the next calls of a run, not until the next
// commit.
const idleTimeout = 30 * time.Second

// Pool limits the number of concurrent calls and reuses children. It replaces a child that has
// ended or uses half of its memory.
type Pool struct {
	limits Limits
	slots  chan struct{}

	mu     sync.Mutex
	idle   map[*Worker]*time.Timer
	closed bool
}

// NewPool returns a pool for size concurrent calls. The first call starts the first child.
func NewPool(limits Limits, size int) *Pool {
	return &Pool{limits: limits.withDefaults(), slots: make(chan struct{}, max(size, 1)), idle: map[*Worker]*time.Timer{}}
}

// Call waits for a free slot and sends a request to a handler in a child. For errors see
// [Worker.Call].
func (p *Pool) Call(ctx context.Context, handler string, request []byte) ([]byte, error) {
	return p.Within(p.limits.CPU).Call(ctx, handler, request)
}

// Within returns the pool for calls with a lower limit of processor time.
func (p *Pool) Within(cpu time.Duration) Within { return Within{pool: p, cpu: min(cpu, p.limits.CPU)} }

// Within is a [Pool] with a lower limit of processor time.
type Within struct {
	pool *Pool
	cpu  time.Duration
}

// Call is [Pool.Call].
func (p Within) Call(ctx context.Context, handler string, request []byte) ([]byte, error) {
	var response []byte
	err := p.pool.with(ctx, func(w *Worker) (err error) {
		response, err = w.call(ctx, p.cpu, handler, request)
		return err
	})
	return response, err
}

// Enforced returns the restrictions of the children. It starts a child if none is idle; the next
// call uses it.
func (p *Pool) Enforced(ctx context.Context) (Enforced, error) {
	var enforced Enforced
	err := p.with(ctx, func(w *Worker) error {
		enforced = w.Enforced()
		return nil
	})
	return enforced, err
}

// Close ends the idle children. A busy child ends after its call. Further calls fail.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for w, timer := range idle {
		timer.Stop()
		w.Close()
	}
}

var errClosed = errors.New("the pool of sandboxed processes is closed")

func (p *Pool) with(ctx context.Context, use func(*Worker) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-p.slots }()
	w, err := p.acquire()
	if w == nil && err == nil {
		w, err = Start(ctx, p.limits)
	}
	if err != nil {
		return err
	}
	err = use(w)
	p.release(w)
	return err
}

// acquire returns an idle child, or nil if a new one must be started.
func (p *Pool) acquire() (*Worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	for w, timer := range p.idle {
		delete(p.idle, w)
		timer.Stop()
		if w.usable() {
			return w, nil
		}
		w.Close()
	}
	return nil, nil
}

// release makes a child idle, or ends it if it cannot be reused.
func (p *Pool) release(w *Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || w.ended || !w.usable() {
		w.Close()
		return
	}
	p.idle[w] = time.AfterFunc(idleTimeout, func() { p.expire(w) })
}

// expire ends a child that is still idle.
func (p *Pool) expire(w *Worker) {
	p.mu.Lock()
	_, still := p.idle[w]
	delete(p.idle, w)
	p.mu.Unlock()
	if still {
		w.Close()
	}
}
