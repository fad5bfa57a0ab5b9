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

// patience is how long a run waits for a Git server if it has an earlier answer to work with. A server that
// hangs would otherwise hold up drift for as long as it does.
const patience = time.Second

// asking is a fetch under way. Its channel gives one answer.
type asking chan answer

type answer struct {
	snapshot *source.Snapshot
	err      error
}

// fetch asks the Git server when that is due, or when the spec or a person asks for it. Until it has answered, and until
// the next time, the last answer holds.
func (r *Reconciler) fetch(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState) (*source.Snapshot, error) {
	token, requested := asked(ms, m)
	changed := m.generation != ms.Generation
	if changed {
		// Another source or another cluster: what was fetched before is no answer any more.
		m.fetched = fetched{}
	}
	if requested {
		m.rendered = renderResult{}
	}
	due := requested || changed || !r.now().Before(m.fetched.due)
	if requested || changed || due && m.pendingFetch == nil {
		m.generation, m.handledRequest = ms.Generation, token
		m.pendingFetch = r.ask(ctx, ms.DeepCopy(), requested || changed)
	}
	if m.pendingFetch == nil {
		return m.fetched.last()
	}

	var wait time.Duration
	switch {
	case requested || !m.fetched.answered():
		wait = ms.GetTimeout()
	case due:
		wait = patience
	}
	select {
	case a := <-m.pendingFetch:
		m.pendingFetch = nil
		r.note(ms, m, a)
		return m.fetched.last()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(wait):
		m.fetched.due = r.now().Add(patience)
		return m.fetched.last()
	}
}

// ask fetches beside the run. It ends by itself at half the timeout, so that a server which hangs leaves time to apply.
func (r *Reconciler) ask(ctx context.Context, ms *v1alpha1.MeshSync, fresh bool) asking {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), ms.GetTimeout()/2)
	answers := make(asking, 1)
	go func() {
		defer cancel()
		defer r.metrics.timed(phaseFetch)()
		snapshot, err := r.fetcher.Fetch(limited, ms, knownCommit(ms), fresh)
		answers <- answer{snapshot, err}
	}()
	return answers
}

// note keeps an answer, and says when to ask again.
func (r *Reconciler) note(ms *v1alpha1.MeshSync, m *syncState, a answer) {
	if a.err != nil {
		m.fetched.err = a.err
		m.fetched.due = m.fetched.failures.failed(r.now(), r.firstRetry, ms.GetRetryInterval())
		return
	}
	m.fetched = fetched{snapshot: a.snapshot, due: r.now().Add(jitter.JitteredIntervalDuration(ms.GetInterval()))}
	r.metrics.lastFetch.WithLabelValues(ms.Namespace, ms.Name).Set(float64(r.now().Unix()))
}

// knownCommit is the commit of the same branch that was seen last, by which a rewritten history is noticed, also after a restart.
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

// asked returns the last request for a run, by a person or a webhook, and whether it is still to be heeded.
func asked(ms *v1alpha1.MeshSync, m *syncState) (token string, open bool) {
	token, ok := meta.ReconcileAnnotationValue(ms.Annotations)
	return token, ok && token != ms.Status.GetLastHandledReconcileRequest() && token != m.handledRequest
}
