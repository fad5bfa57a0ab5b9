package execute

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrNotLeading is returned if another controller leads, so that this one must not write.
var ErrNotLeading = errors.New("another controller leads")

// leaderCheckValidity is how long a successful check counts. A lease lasts longer.
const leaderCheckValidity = 2 * time.Second

// WithLeaderCheck makes the applier check the lease before it carries out a plan that writes, and
// before a write if the last check is too old. The check returns [ErrNotLeading] if another
// controller leads. A process that was paused does not notice a lost lease, and would revert the
// work of the new leader.
func (a *Applier) WithLeaderCheck(check func(ctx context.Context) error) *Applier {
	a.leaderCheck = check
	return a
}

// CheckLeader checks the lease; the error is [ErrNotLeading] if another controller leads.
func (a *Applier) CheckLeader(ctx context.Context) error {
	if a.leaderCheck == nil {
		return nil
	}
	return a.leaderCheck(ctx)
}

// leaderState is when a run last asked for the lease, and when it was answered.
type leaderState struct {
	mu           sync.Mutex
	asked, heard time.Time
}

func (r *run) checkLeader(ctx context.Context) error {
	if r.leaderCheck == nil {
		return nil
	}
	wanted := r.clock.now()
	r.leaderState.mu.Lock()
	defer r.leaderState.mu.Unlock()
	now, since := r.clock.now(), r.leaderState.asked
	if since.After(wanted) {
		// Another write asked while this one waited; the API server may have answered late.
		since = r.leaderState.heard
	}
	// Without monotonic readings, times differ by the wall clock.
	if isFresh(now.Sub(since), now.Round(0).Sub(since.Round(0))) {
		return nil
	}
	if err := r.leaderCheck(ctx); err != nil {
		return err
	}
	r.leaderState.asked, r.leaderState.heard = now, r.clock.now()
	return nil
}

// isFresh tells whether the last answer is recent by both clocks: the monotonic clock may stand
// still while a machine sleeps, and the wall clock may be set back.
func isFresh(monotonic, wall time.Duration) bool {
	return monotonic <= leaderCheckValidity && 0 <= wall && wall <= leaderCheckValidity
}
