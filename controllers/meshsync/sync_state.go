package meshsync

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// memory is what a MeshSync's runs leave for the next one. Losing it costs work, never correctness: after a
// restart the commit is fetched and rendered again, and ownership stands on the objects themselves.
type syncState struct {
	fetched      fetched
	pendingFetch asking
	rendered     renderResult
	// basis is what a commit falls back to where a service of it is broken.
	lastKnownGood lastKnownGood
	// good is the last bundle that was allowed to be applied. Drift is undone against it while a newer
	// commit cannot be had, is wrong or is held.
	lastApplied *render.Bundle
	// recalled is how far a process without a good bundle has come in making the last one again.
	restored restoreAttempts
	// planner knows what the cluster was last seen to have: what differs from it without a change in Git is drift.
	planner *plans.Planner
	// read are objects of somebody else that spec.adopt may choose, as they were read last.
	readObjects syncrun.ReadObjects
	// retry spaces runs that failed after the fetch.
	retry retries
	// aheadSince is when a commit that is not yet applied was first seen, zero if there is none.
	behindSince time.Time
	// reached is the last commit that the cluster was seen to have, applied or observed.
	reached string
	// generation is that of the last spec that a run acted on; another one voids what was fetched.
	generation int64
	// handled is the last request for a run that was heeded. The status has it too, but the cache may be behind.
	handledRequest string
	// told is the work of which the status told that it begins; it is told once, and not before every retry.
	announced attempt
	// written is our last write of the MeshSync.
	lastStatusWrite written
	// started is when the present run began.
	started time.Time
}

// fetched is the answer of the last fetch, good or bad. It holds until due: a run that a watch woke in
// between works with it and does not ask the Git server.
type fetched struct {
	// snapshot is the last good one, also after a failure.
	snapshot *source.Snapshot
	err      error
	due      time.Time
	failures retries
}

func (f fetched) answered() bool { return f.snapshot != nil || f.err != nil }

func (f fetched) last() (*source.Snapshot, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.snapshot, nil
}

// rendered is the answer of the last evaluation and rendering, good or bad. The same commit for the same
// cluster gives the same answer, except for what failed for another reason than its content: that holds until then.
type renderResult struct {
	key    renderKey
	bundle *render.Bundle
	err    error
	until  time.Time
	// basis is that of the next commit when the plan for this one is carried out.
	basis lastKnownGood
}

// recalled spaces the attempts to make the last good bundle again, which end with the first answer.
type restoreAttempts struct {
	over  bool
	retry retries
}

// attempt is a commit and the spec that it is applied under.
type attempt struct {
	revision   string
	generation int64
}

// basis is what the last commits were good for, and the mesh that they are of.
type lastKnownGood struct {
	of        renderKey
	manifests *evaluate.LastKnownGood
}

type renderKey struct {
	revision, url, path, cluster string
	halt                         bool
}

// sameMesh tells whether two are of the same repository and cluster.
func (k renderKey) sameMesh(other renderKey) bool {
	return k.url == other.url && k.path == other.path && k.cluster == other.cluster
}

func (r renderResult) answers(key renderKey, now time.Time) bool {
	return r.key == key && (r.until.IsZero() || now.Before(r.until))
}

// retries spaces failing attempts: soon at first, then twice as long each time.
type retries struct {
	count int
	due   time.Time
}

// failed notes a failure and returns when to try again.
func (r *retries) failed(now time.Time, first, longest time.Duration) time.Time {
	// 2^20 times any first wait is beyond any interval.
	wait := min(first<<min(r.count, 20), longest)
	r.count++
	r.due = now.Add(wait)
	return r.due
}

// memories holds the memory of each MeshSync. One MeshSync is never reconciled twice at the same time, so the
// map needs a lock and its values do not.
type syncStates struct {
	mutex sync.Mutex
	of    map[types.NamespacedName]*syncState
}

func (m *syncStates) state(key types.NamespacedName) *syncState {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.of == nil {
		m.of = map[types.NamespacedName]*syncState{}
	}
	if m.of[key] == nil {
		m.of[key] = &syncState{}
	}
	return m.of[key]
}

func (m *syncStates) forget(key types.NamespacedName) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	delete(m.of, key)
}

// abandon forgets what drift would be undone against, since the objects here may be somebody else's business by now.
func (m *syncState) forgetApplied() { m.lastApplied, m.restored.over = nil, true }

// plannerFor returns the planner of this MeshSync, which is made with the first plan.
func (m *syncState) plannerFor(reader plans.Reader) *plans.Planner {
	if m.planner == nil {
		m.planner = plans.NewPlanner(reader)
	}
	return m.planner
}
