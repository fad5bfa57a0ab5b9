package sandbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

// idleTime is for how long an idle child is kept: long enough for the commands of one run, not for the time between commits.
const idleTime = 30 * time.Second

// Pool makes calls, at most so many at a time, and keeps the children of calls that went well for those that follow.
// A child is replaced when it has ended, or when half of its memory is not free.
type Pool struct {
	limits Limits
	slots  chan struct{}

	mu     sync.Mutex
	idle   map[*Worker]*time.Timer
	closed bool
}

// NewPool starts no child before it is called.
func NewPool(limits Limits, size int) *Pool {
	return &Pool{limits: limits.withDefaults(), slots: make(chan struct{}, max(size, 1)), idle: map[*Worker]*time.Timer{}}
}

// Call waits for its turn and has a child's handler answer a request.
func (p *Pool) Call(ctx context.Context, handler string, request []byte) ([]byte, error) {
	return p.Within(p.limits.CPU).Call(ctx, handler, request)
}

// Within is the same pool for calls that may take less processor time.
func (p *Pool) Within(cpu time.Duration) Within { return Within{pool: p, cpu: min(cpu, p.limits.CPU)} }

// Within is a [Pool] for calls that may take less processor time than others.
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

// Enforced is what keeps the children in. It starts one, if none is idle, which the next call finds ready.
func (p *Pool) Enforced(ctx context.Context) (Enforced, error) {
	var enforced Enforced
	err := p.with(ctx, func(w *Worker) error {
		enforced = w.Enforced()
		return nil
	})
	return enforced, err
}

// Close ends the idle children; those that serve a call end with it. A closed pool refuses calls.
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
	w, err := p.take()
	if w == nil && err == nil {
		w, err = Start(ctx, p.limits)
	}
	if err != nil {
		return err
	}
	err = use(w)
	p.put(w)
	return err
}

// take is an idle child, or nil where a new one has to be started.
func (p *Pool) take() (*Worker, error) {
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

func (p *Pool) put(w *Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || w.ended || !w.usable() {
		w.Close()
		return
	}
	p.idle[w] = time.AfterFunc(idleTime, func() { p.drop(w) })
}

// drop ends a child that was idle for long, if nobody has taken it.
func (p *Pool) drop(w *Worker) {
	p.mu.Lock()
	_, still := p.idle[w]
	delete(p.idle, w)
	p.mu.Unlock()
	if still {
		w.Close()
	}
}
