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
	// sideBySide is how many writes of one stage are under way at once, while the API server is not too busy. Measured against one
	// API server, 16 is little faster than 8 and leaves less for everybody else.
	sideBySide = 8
	// retries is how often a write is tried again that the API server was too busy for.
	retries = 4
	// firstDelay is how long such a write waits first; each time it is twice as long, and up to half as long again, lest all come back at once.
	firstDelay = 100 * time.Millisecond
	jitter     = 0.5
	// inARow is how many are refused one after the other when everybody waits.
	inARow = 2 * sideBySide
	// longestTry is how long a write may have taken that is tried again within the run. What hangs until a timeout would hold
	// up what comes after it several times as long.
	longestTry = time.Second
	// longestDelay is for how long one waits because an API server asks for it. The next run is not far behind.
	longestDelay = 10 * time.Second
)

// clock tells the time and lets it pass; the function sleep ends when ctx does.
type clock struct {
	now   func() time.Time
	sleep func(ctx context.Context, pause time.Duration)
	// stopwatch starts to measure how long one thing takes. The function now does not, which in a test moves on by what others wait.
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

// pace is how fast one run writes: how many of its writes are under way at once, and how long one waits that the API server was too busy for.
//
// A write that is refused so halves how many may be under way, once for all that were beside it, and each that is not allows one more. It waits
// without a turn, so that others go on meanwhile: what is refused may be this one object, whose webhook is down. Only when one after the other is refused and
// nothing is taken in between, everybody waits, ever longer; and when everybody waited as often as a write does, nothing is tried again until something is taken, so
// that a run which cannot write anything ends soon.
type pace struct {
	clock clock
	turns *semaphore.Weighted

	mu sync.Mutex
	// limit is how many may be under way; surplus is how many are beyond that, whose turns nobody gets after them.
	limit, surplus int
	// halved counts how often the limit was, refusals those since anything was taken, and inVain how often everybody waited since then.
	halved, refusals, inVain int
	// resume is when the next write may begin.
	resume time.Time
}

func newPace(clock clock) *pace {
	return &pace{clock: clock, turns: semaphore.NewWeighted(sideBySide), limit: sideBySide}
}

// turn is the right to have one write under way, with what had been counted when it began.
type turn struct{ halved, inVain int }

// begin waits for a turn; it fails when ctx ends.
func (p *pace) begin(ctx context.Context) (turn, bool) {
	for {
		// A semaphore may give what is free even then.
		if ctx.Err() != nil || p.turns.Acquire(ctx, 1) != nil {
			return turn{}, false
		}
		p.mu.Lock()
		begun, hold := turn{p.halved, p.inVain}, p.resume.Sub(p.clock.now())
		if hold > 0 {
			p.free()
		}
		p.mu.Unlock()
		if hold <= 0 {
			return begun, true
		}
		p.clock.sleep(ctx, hold)
	}
}

// do makes a write as soon as it has a turn.
func (p *pace) do(ctx context.Context, write func(again bool) error) error {
	turn, ok := p.begin(ctx)
	if !ok {
		return context.Cause(ctx)
	}
	return p.try(ctx, turn, write)
}

// try makes a write that has a turn, and makes it again while the API server is too busy for it. The write is told whether it was tried before: it may have been
// carried out then, since an answer can get lost.
func (p *pace) try(ctx context.Context, turn turn, write func(again bool) error) error {
	for tried := 1; ; tried++ {
		elapsed := p.clock.stopwatch()
		err := write(tried > 1)
		delay, again := p.answered(ctx, turn, tried, elapsed(), err)
		if again {
			p.clock.sleep(ctx, delay)
			turn, again = p.begin(ctx)
		}
		switch {
		case again:
		case tried > 1 && tooBusy(err):
			return fmt.Errorf("%w (tried %d times)", err, tried)
		default:
			return err
		}
	}
}

// answered ends a turn with what the API server said to a write that was tried so many times, and how long that took; it tells whether it is to be tried again, and
// after how long.
func (p *pace) answered(ctx context.Context, turn turn, tried int, took time.Duration, err error) (delay time.Duration, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.free()
	if err != nil && ctx.Err() != nil {
		return 0, false
	}
	if !tooBusy(err) {
		p.taken()
		return 0, false
	}
	p.refused(turn)
	if tried > retries || p.inVain > retries || took > longestTry {
		return 0, false
	}
	seconds, _ := apierrors.SuggestsClientDelay(err)
	asked := time.Duration(seconds) * time.Second
	if asked > longestDelay {
		return 0, false
	}
	now, resume := p.clock.now(), p.resume
	delay = asked + doubled(tried)
	if p.inVain > 0 {
		resume = later(resume, now.Add(asked+doubled(p.inVain)))
	}
	if end, ok := ctx.Deadline(); ok && later(resume, now.Add(delay)).After(end) {
		return 0, false
	}
	p.resume = resume
	return delay, true
}

// doubled is how long one waits at the n-th time.
func doubled(n int) time.Duration { return wait.Jitter(firstDelay<<(n-1), jitter) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// taken notes that the API server was not too busy for a write.
func (p *pace) taken() {
	p.refusals, p.inVain, p.resume = 0, 0, time.Time{}
	if p.limit == sideBySide {
		return
	}
	p.limit++
	if p.surplus > 0 {
		p.surplus--
		return
	}
	p.turns.Release(1)
}

// refused notes that it was. Those that began before the limit was last halved were refused for the same reason, and halve it no more; so it is with waiting.
func (p *pace) refused(turn turn) {
	p.refusals++
	if p.refusals >= inARow && turn.inVain == p.inVain {
		p.inVain++
	}
	if turn.halved != p.halved {
		return
	}
	p.halved++
	half := max(p.limit/2, 1)
	p.surplus += p.limit - half
	p.limit = half
}

// free gives a turn to the next, unless there is one too many.
func (p *pace) free() {
	if p.surplus > 0 {
		p.surplus--
		return
	}
	p.turns.Release(1)
}

// tooBusy tells that the same request may be served a little later: the API server, or what is behind it, had no room or no time, or did not
// answer at all. What it understood and refused stays refused. A webhook that fails is a 500 as well, and says nothing of how busy the API server is: those that it is
// not asked about go on as fast as before, and the next run tries again.
func tooBusy(err error) bool {
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
