package meshsync

import (
	"context"
	"errors"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// bundle evaluates and renders a commit, once.
func (r *Reconciler) bundle(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, snapshot *source.Snapshot) (*render.Bundle, error) {
	key := renderKey{
		revision: snapshot.Revision, url: ms.Spec.Source.URL, path: ms.Spec.Path, cluster: ms.Spec.Cluster,
		halt: ms.Spec.OnError == v1alpha1.OnErrorHalt,
	}
	if m.rendered.answers(key, r.now()) {
		return m.rendered.bundle, m.rendered.err
	}
	if !m.lastKnownGood.of.sameMesh(key) {
		m.lastKnownGood = lastKnownGood{}
	}
	request := syncrun.RenderRequest{Snapshot: snapshot, Cluster: ms.Spec.Cluster, Basis: m.lastKnownGood.manifests, Halt: key.halt}
	bundle, good, err := r.render(ctx, ms, request)
	m.rendered = renderResult{key: key, bundle: bundle, err: err, basis: m.lastKnownGood}
	switch {
	case err != nil && !isContent(err):
		m.rendered.until = m.retry.failed(r.now(), r.firstRetry, ms.RetryAfter())
	case err == nil && !syncrun.LastKnownGoodFound(bundle):
		// Git may know later, and nothing may be taken for good of which that is not known.
		m.rendered.until = r.now().Add(ms.RetryAfter())
	case err == nil:
		m.rendered.basis = lastKnownGood{of: key, manifests: good}
	}
	return bundle, err
}

// render finds out how services were before they broke, if this process does not know and Git does. If nobody does, the bundle says so
// and there is no basis for the next commit.
func (r *Reconciler) render(ctx context.Context, ms *v1alpha1.MeshSync, request syncrun.RenderRequest) (*render.Bundle, *evaluate.LastKnownGood, error) {
	bundle, good, err := r.renderer.Render(ctx, request)
	var unknown *syncrun.UnknownClusterError
	// What is one service's error beside what was good may look like everybody's without.
	halts := isContent(err) && !errors.As(err, &unknown) && !request.Halt
	if request.Basis != nil || !halts && (err != nil || len(bundle.Lost) == 0) {
		return bundle, good, err
	}
	halted := err
	request.Basis, err = r.findLastKnownGood(ctx, ms)
	if err != nil && halted != nil {
		return nil, nil, halted
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot find the last known good manifests of broken services, so nothing is removed", "broken", bundle.Lost)
		bundle.LostReason = err.Error()
		return bundle, nil, nil
	}
	return r.renderer.Render(ctx, request)
}

// isContent reports whether an error stands in the commit, so that trying it again cannot help.
func isContent(err error) bool {
	var findings manifest.Findings
	var unknown *syncrun.UnknownClusterError
	return errors.As(err, &findings) || errors.As(err, &unknown)
}
