package plans

import "time"

// Timing keeps the order between clusters, which see a commit at other moments than this one and do not talk to it: what others call is there
// early, what calls them comes late, and what they may still call stays.
type Timing struct {
	// Now is when the plan is made.
	Now time.Time
	// WithdrawAfter is how long what is offered to other clusters stays after it left the repository; with 0 it does not.
	WithdrawAfter time.Duration
	// RoutingDelay is how long what newly depends on another cluster waits, counted from the first plan that had it; with 0 it does not.
	RoutingDelay time.Duration
	// First is set while nothing was ever applied whole: in a cluster without any object of ours nothing waits then. One whose last object went is none.
	FirstSync bool
	// Seen is [Plan.Seen] of the plan before.
	FirstNeeded FirstNeeded
}
