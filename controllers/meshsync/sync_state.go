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

// syncState is the state that the runs of a MeshSync pass to the next run. Its loss costs work but
// not correctness: after a restart the commit is fetched and rendered again, and the marks on the
// objects record the ownership.
type syncState struct {
	fetched      fetched
	pendingFetch pendingFetch
	rendered     renderResult
	// lastKnownGood has the manifests that broken services of a commit are frozen at.
	lastKnownGood lastKnownGood
	// lastApplied is the last bundle whose plan was started. Drift is corrected against it while a
	// newer commit cannot be fetched, has errors or is held.
	lastApplied *render.Bundle
	// restored tracks the attempts of a new process to render lastApplied again.
	restored restoreAttempts
	// planner knows the last state of the cluster. A difference without a change in Git is drift.
	planner *plans.Planner
	// readObjects are foreign objects that spec.adopt may select, as last read.
	readObjects syncrun.ReadObjects
	// retry spaces runs that failed after the fetch.
	retry retries
	// behindSince is the time when an unapplied commit was first seen, zero if there is none.
	behindSince time.Time
	// reached is the last revision that the cluster was in sync with, applied or observed.
	reached string
	// generation is that of the last spec that a run used; another generation voids fetched.
	generation int64
	// handledRequest is the token of the last requested run that was started. The status has it
	// too, but the cache may be behind.
	handledRequest string
	// announced is the last attempt that the status announced. Retries do not announce it again.
	announced attempt
	// lastStatusWrite is the last write of the MeshSync by this process.
	lastStatusWrite written
	// started is the start of the current run.
	started time.Time
}

// fetched is the result of the last fetch. Runs use it until due, without another fetch.
type fetched struct {
	// snapshot is that of the last successful fetch, also after a failure.
	snapshot *source.Snapshot
	err      error
	due      time.Time
	failures retries
}

func (f fetched) hasResult() bool { return f.snapshot != nil || f.err != nil }

func (f fetched) last() (*source.Snapshot, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.snapshot, nil
}

// renderResult is the result of the last evaluation and rendering, for one commit and cluster. It
// is valid until the given time if the content of the commit does not determine it; zero means
// always.
type renderResult struct {
	key    renderKey
	bundle *render.Bundle
	err    error
	until  time.Time
	// basis becomes the basis of the next commit when the plan for this commit starts.
	basis lastKnownGood
}

// restoreAttempts schedules the attempts to render the last applied bundle. They end with the first
// result.
type restoreAttempts struct {
	over  bool
	retry retries
}

// attempt is a commit and the generation of the spec that applies to it.
type attempt struct {
	revision   string
	generation int64
}

// lastKnownGood has the last known good manifests and the mesh that they belong to.
type lastKnownGood struct {
	of        renderKey
	manifests *evaluate.LastKnownGood
}

type renderKey struct {
	revision, url, path, cluster string
	halt                         bool
}

// sameMesh reports whether two keys have the same repository, path and cluster.
func (k renderKey) sameMesh(other renderKey) bool {
	return k.url == other.url && k.path == other.path && k.cluster == other.cluster
}

func (r renderResult) answers(key renderKey, now time.Time) bool {
	return r.key == key && (r.until.IsZero() || now.Before(r.until))
}

// retries schedules attempts with exponential back-off.
type retries struct {
	count int
	due   time.Time
}

// failed records a failure and returns the time of the next attempt.
func (r *retries) failed(now time.Time, first, longest time.Duration) time.Time {
	// 2^20 times any first wait exceeds any interval.
	wait := min(first<<min(r.count, 20), longest)
	r.count++
	r.due = now.Add(wait)
	return r.due
}

// syncStates has the state of each MeshSync. A MeshSync is never reconciled twice at the same time,
// so the map needs a lock and its values do not.
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

// forgetApplied stops the correction of drift, because another MeshSync may own the objects now.
func (m *syncState) forgetApplied() { m.lastApplied, m.restored.over = nil, true }

// plannerFor returns the planner of this MeshSync. The first call creates it.
func (m *syncState) plannerFor(reader plans.Reader) *plans.Planner {
	if m.planner == nil {
		m.planner = plans.NewPlanner(reader)
	}
	return m.planner
}
