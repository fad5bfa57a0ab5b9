package execute

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrNotLeading says that another controller leads, so that this one must not write.
var ErrNotLeading = errors.New("another controller leads")

// leadsFor is how long it is believed that this controller leads. A lease is held for longer.
const leaderCheckValidity = 2 * time.Second

// Fence makes the applier ask whether this controller still leads, before it carries out a plan that writes, and before a write if it last asked a while
// ago; the check returns an error that is [ErrNotLeading] if it does not. A process that was stopped for a while does not know by itself, and would put
// back what the other one has done since.
func (a *Applier) WithLeaderCheck(check func(ctx context.Context) error) *Applier {
	a.leaderCheck = check
	return a
}

// Leads asks whether this controller still leads; the error is [ErrNotLeading] if it does not.
func (a *Applier) CheckLeader(ctx context.Context) error {
	if a.leaderCheck == nil {
		return nil
	}
	return a.leaderCheck(ctx)
}

// led is when a run last asked whether its controller leads, and when it heard that it does.
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
		// Asked for another write while this one waited; the API server may have taken long to answer.
		since = r.leaderState.heard
	}
	// Without their monotonic readings, times differ by the wall clock.
	if isFresh(now.Sub(since), now.Round(0).Sub(since.Round(0))) {
		return nil
	}
	if err := r.leaderCheck(ctx); err != nil {
		return err
	}
	r.leaderState.asked, r.leaderState.heard = now, r.clock.now()
	return nil
}

// stillBelieved tells whether the last answer is recent by both clocks: the monotonic one may stand still while a machine sleeps, and the wall clock may be
// set back.
func isFresh(monotonic, wall time.Duration) bool {
	return monotonic <= leaderCheckValidity && 0 <= wall && wall <= leaderCheckValidity
}
