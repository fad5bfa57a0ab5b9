package plans

import (
	"time"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Options are the inputs of a plan beside the bundle, the cluster and the memory.
type Options struct {
	Owner ownership.Owner
	// Prune allows the deletion of stale objects; without it they are skipped.
	Prune bool
	// MaxPrunePercent is the share of the owned objects that a plan may delete without an
	// acknowledgement, if it deletes at least ten. 0 holds every such deletion.
	MaxPrunePercent int
	// AcknowledgedDigests are digests of guards that a user acknowledged for this cluster, in
	// addition to those of the bundle.
	AcknowledgedDigests []string
	// RemainingAcknowledged counts, after a restart, the acknowledged lines (deletions and lost
	// calls) that the process before did not carry out. [Memory.Acknowledged] replaces it.
	RemainingAcknowledged int
	// AdditiveOnly, if not nil, is why nothing may be removed. The plan then deletes nothing, and
	// merges each update with the live object: no host, address, port, endpoint, subset, importer
	// or caller is lost.
	AdditiveOnly *UnknownServices
	// Timing orders changes between clusters; the zero value disables it.
	Timing Timing
	// Adopt takes over the objects of [clustercache.State.Adoptable]; without it the plan only
	// shows what that would change.
	Adopt bool
	// WasInSync says that this exact bundle was in place when the process before this one ended.
	// A difference that this process has not seen yet is then drift.
	WasInSync bool
}

// Timing orders changes between clusters, which read a commit at different times and do not talk
// to each other: publish early, call late, withdraw late.
type Timing struct {
	// Now is when the plan is made.
	Now time.Time
	// WithdrawAfter is how long an exported object stays after it left the repository; 0 disables.
	WithdrawAfter time.Duration
	// RoutingDelay is how long routing waits that newly depends on another cluster, counted from
	// the first plan that needed it; 0 disables.
	RoutingDelay time.Duration
	// FirstSync is set until a first revision is fully applied. In a cluster without objects of
	// ours nothing waits then. A cluster whose last object was deleted is not in its first sync.
	FirstSync bool
}

// Memory is what a plan needs of the plans before it. The zero value is that of a new process.
type Memory struct {
	// Known are the objects that the cluster was last known to have.
	Known Record
	// FirstNeeded is [Plan.FirstNeeded] of the plans of the previous run.
	FirstNeeded FirstNeeded
	// Acknowledged is [Plan.Acknowledged] of the last plan that was begun, nil if there was none.
	Acknowledged Acknowledgements
	// Backoffs are objects that another writer keeps changing and that are not corrected now.
	Backoffs map[render.Key]FightBackoff
}

// Record holds, for each object, the hash of the desired object that the cluster was last known
// to have. With [Options.AdditiveOnly] it is the hash of the merged object.
type Record map[render.Key]string

// FirstNeeded holds, by service and dependency on another cluster, when a plan first needed it.
type FirstNeeded map[string]map[string]time.Time
