package execute

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// maxConcurrent is how many writes of one stage run concurrently while the API server is not
	// throttling. Measured with one API server: 16 is little faster than 8, and leaves less
	// capacity for other clients.
	maxConcurrent = 8
	// retries is how often a throttled write is repeated.
	retries = 4
	// firstDelay is the first back-off of a throttled write. It doubles each time, with up to half
	// as much jitter.
	firstDelay = 100 * time.Millisecond
	jitter     = 0.5
	// throttledBeforeBackoff is how many consecutive throttled writes make all writes back off.
	throttledBeforeBackoff = 2 * maxConcurrent
	// maxTryDuration is how long a write may have taken to be repeated within the run. A write
	// that hangs until a timeout would delay later writes several times as long.
	maxTryDuration = time.Second
	// maxRetryAfter is the longest Retry-After that is honoured; after that the next run is near.
	maxRetryAfter = 10 * time.Second
)

// clock is the time of a run, which tests replace; sleep ends when ctx does.
type clock struct {
	now   func() time.Time
	sleep func(ctx context.Context, pause time.Duration)
	// stopwatch measures one duration. In tests, now advances by what other writes wait, so it
	// cannot.
	stopwatch func() (elapsed func() time.Duration)
}

func systemClock() clock {
	return clock{
		now: time.Now,
		sleep: func(ctx context.Context, pause time.Duration) {
			timer := time.NewTimer(pause)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		},
		stopwatch: func() func() time.Duration {
			began := time.Now()
			return func() time.Duration { return time.Since(began) }
		},
	}
}

// writeLimiter limits the concurrency of the writes of one run.
//
// On 429 or 5xx the limit is halved, once per window; each success raises it by one. A throttled
// write releases its slot while it backs off, so that others can proceed: the cause may be this
// one object, whose webhook is down. If many consecutive writes are throttled without a success,
// all writes back off, longer each time. After [retries] such back-offs nothing is repeated until
// a write succeeds, so that a run that cannot write ends soon.
type writeLimiter struct {
	clock clock
	slots *semaphore.Weighted

	mu sync.Mutex
	// limit is the number of concurrent writes; excess is how many slots beyond it are not given
	// out again.
	limit, excess int
	// halvings counts how often the limit was halved; consecutiveThrottled and consecutiveBackoffs
	// count since the last success.
	halvings, consecutiveThrottled, consecutiveBackoffs int
	// resume is when the next write may begin.
	resume time.Time
}

func newWriteLimiter(clock clock) *writeLimiter {
	return &writeLimiter{clock: clock, slots: semaphore.NewWeighted(maxConcurrent), limit: maxConcurrent}
}

// slot is the permission for one write, with the counters at its start.
type slot struct{ halvings, consecutiveBackoffs int }

// acquire waits for a slot; it fails when ctx ends.
func (p *writeLimiter) acquire(ctx context.Context) (slot, bool) {
	for {
		// A semaphore may give out a free slot even if ctx has ended.
		if ctx.Err() != nil || p.slots.Acquire(ctx, 1) != nil {
			return slot{}, false
		}
		p.mu.Lock()
		begun, hold := slot{p.halvings, p.consecutiveBackoffs}, p.resume.Sub(p.clock.now())
		if hold > 0 {
			p.release()
		}
		p.mu.Unlock()
		if hold <= 0 {
			return begun, true
		}
		p.clock.sleep(ctx, hold)
	}
}

// do makes a write with a slot.
func (p *writeLimiter) do(ctx context.Context, write func(again bool) error) error {
	turn, ok := p.acquire(ctx)
	if !ok {
		return context.Cause(ctx)
	}
	return p.try(ctx, turn, write)
}

// try makes a write that has a slot, and repeats it while it is throttled. The write learns
// whether it was tried before: an earlier try may have succeeded although its answer was lost.
func (p *writeLimiter) try(ctx context.Context, turn slot, write func(again bool) error) error {
	for tried := 1; ; tried++ {
		elapsed := p.clock.stopwatch()
		err := write(tried > 1)
		delay, again := p.finish(ctx, turn, tried, elapsed(), err)
		if again {
			p.clock.sleep(ctx, delay)
			turn, again = p.acquire(ctx)
		}
		switch {
		case again:
		case tried > 1 && isThrottled(err):
			return fmt.Errorf("%w (tried %d times)", err, tried)
		default:
			return err
		}
	}
}

// finish returns a slot with the result of a write, its number of tries and its duration. It tells
// whether to repeat the write, and after which delay.
func (p *writeLimiter) finish(ctx context.Context, turn slot, tried int, took time.Duration, err error) (delay time.Duration, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.release()
	if err != nil && ctx.Err() != nil {
		return 0, false
	}
	if !isThrottled(err) {
		p.onSuccess()
		return 0, false
	}
	p.onThrottled(turn)
	if tried > retries || p.consecutiveBackoffs > retries || took > maxTryDuration {
		return 0, false
	}
	seconds, _ := apierrors.SuggestsClientDelay(err)
	asked := time.Duration(seconds) * time.Second
	if asked > maxRetryAfter {
		return 0, false
	}
	now, resume := p.clock.now(), p.resume
	delay = asked + backoffDelay(tried)
	if p.consecutiveBackoffs > 0 {
		resume = later(resume, now.Add(asked+backoffDelay(p.consecutiveBackoffs)))
	}
	if end, ok := ctx.Deadline(); ok && later(resume, now.Add(delay)).After(end) {
		return 0, false
	}
	p.resume = resume
	return delay, true
}

// backoffDelay is the delay before the n-th repetition.
func backoffDelay(n int) time.Duration { return wait.Jitter(firstDelay<<(n-1), jitter) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// onSuccess notes a write that was not throttled.
func (p *writeLimiter) onSuccess() {
	p.consecutiveThrottled, p.consecutiveBackoffs, p.resume = 0, 0, time.Time{}
	if p.limit == maxConcurrent {
		return
	}
	p.limit++
	if p.excess > 0 {
		p.excess--
		return
	}
	p.slots.Release(1)
}

// onThrottled notes a throttled write. Writes that began before the limit was last halved were
// throttled for the same reason, and do not halve it again; the same holds for the back-off of all
// writes.
func (p *writeLimiter) onThrottled(turn slot) {
	p.consecutiveThrottled++
	if p.consecutiveThrottled >= throttledBeforeBackoff && turn.consecutiveBackoffs == p.consecutiveBackoffs {
		p.consecutiveBackoffs++
	}
	if turn.halvings != p.halvings {
		return
	}
	p.halvings++
	half := max(p.limit/2, 1)
	p.excess += p.limit - half
	p.limit = half
}

// release gives a slot to the next write, unless there is an excess of slots.
func (p *writeLimiter) release() {
	if p.excess > 0 {
		p.excess--
		return
	}
	p.slots.Release(1)
}

// isThrottled tells whether the same request may succeed a little later: the API server, or a
// backend, had no capacity or did not answer. A rejected request stays rejected. A failing webhook
// is a 500 as well, and says nothing about the load of the API server: other objects continue at
// full speed, and the next run tries again.
func isThrottled(err error) bool {
	if err == nil || errors.Is(err, ErrNotLeading) || classify(err) != Transient || strings.Contains(err.Error(), "failed calling webhook") {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	code := status.Status().Code
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}
