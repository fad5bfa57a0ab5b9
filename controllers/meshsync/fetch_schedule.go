package meshsync

import (
	"context"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/jitter"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// fetchWait limits the wait for Git when an earlier snapshot is available. Otherwise a server that
// hangs would delay the correction of drift.
const fetchWait = time.Second

// pendingFetch is a fetch in progress. The channel delivers one result.
type pendingFetch chan fetchResult

type fetchResult struct {
	snapshot *source.Snapshot
	err      error
}

// fetch starts a fetch when it is due, when the spec changed, or when a user requests a run. Until
// the fetch ends, and until the next one, it returns the last result.
func (r *Reconciler) fetch(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState) (*source.Snapshot, error) {
	token, requested := requestedRun(ms, m)
	changed := m.generation != ms.Generation
	if changed {
		// The source or the cluster may have changed, so the last result is void.
		m.fetched = fetched{}
	}
	if requested {
		m.rendered = renderResult{}
	}
	due := requested || changed || !r.now().Before(m.fetched.due)
	if requested || changed || due && m.pendingFetch == nil {
		m.generation, m.handledRequest = ms.Generation, token
		m.pendingFetch = r.startFetch(ctx, ms.DeepCopy(), requested || changed)
	}
	if m.pendingFetch == nil {
		return m.fetched.last()
	}

	var wait time.Duration
	switch {
	case requested || !m.fetched.hasResult():
		wait = ms.GetTimeout()
	case due:
		wait = fetchWait
	}
	select {
	case result := <-m.pendingFetch:
		m.pendingFetch = nil
		r.recordFetch(ms, m, result)
		return m.fetched.last()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(wait):
		m.fetched.due = r.now().Add(fetchWait)
		return m.fetched.last()
	}
}

// startFetch fetches in the background. The fetch times out after half of spec.timeout, which
// leaves time to apply if the server hangs.
func (r *Reconciler) startFetch(ctx context.Context, ms *v1alpha1.MeshSync, fresh bool) pendingFetch {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), ms.GetTimeout()/2)
	results := make(pendingFetch, 1)
	go func() {
		defer cancel()
		defer r.metrics.timed(phaseFetch)()
		snapshot, err := r.fetcher.Fetch(limited, ms, knownCommit(ms), fresh)
		results <- fetchResult{snapshot, err}
	}()
	return results
}

// recordFetch keeps a result and schedules the next fetch.
func (r *Reconciler) recordFetch(ms *v1alpha1.MeshSync, m *syncState, result fetchResult) {
	if result.err != nil {
		m.fetched.err = result.err
		m.fetched.due = m.fetched.failures.failed(r.now(), r.firstRetry, ms.GetRetryInterval())
		return
	}
	m.fetched = fetched{snapshot: result.snapshot, due: r.now().Add(jitter.JitteredIntervalDuration(ms.GetInterval()))}
	r.metrics.lastFetch.WithLabelValues(ms.Namespace, ms.Name).Set(float64(r.now().Unix()))
}

// knownCommit is the last seen commit of the same branch, empty if unknown. It serves to detect a
// rewritten history, also after a restart.
func knownCommit(ms *v1alpha1.MeshSync) string {
	ref, commit, ok := strings.Cut(ms.Status.LastAttemptedRevision, "@sha1:")
	if !ok {
		return ""
	}
	if wanted := ms.Spec.Source.Ref; wanted != nil && wanted.Branch != ref {
		return ""
	}
	return commit
}

// requestedRun returns the token of the last requested run (by a user or a webhook) and whether the
// request is still open.
func requestedRun(ms *v1alpha1.MeshSync, m *syncState) (token string, open bool) {
	token, ok := meta.ReconcileAnnotationValue(ms.Annotations)
	return token, ok && token != ms.Status.GetLastHandledReconcileRequest() && token != m.handledRequest
}
