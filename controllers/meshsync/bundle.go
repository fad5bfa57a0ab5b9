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

// bundle evaluates and renders a commit. The result is kept for later runs.
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
		m.rendered.until = m.retry.failed(r.now(), r.firstRetry, ms.GetRetryInterval())
	case err == nil && !syncrun.LastKnownGoodFound(bundle):
		// A later run may find the last known good manifests in Git. Until then there is no basis
		// for the next commit.
		m.rendered.until = r.now().Add(ms.GetRetryInterval())
	case err == nil:
		m.rendered.basis = lastKnownGood{of: key, manifests: good}
	}
	return bundle, err
}

// render renders a commit. If the process has no last known good manifests, they are read from Git.
// If Git does not have them, bundle.LostReason is set and there is no basis for the next commit.
func (r *Reconciler) render(ctx context.Context, ms *v1alpha1.MeshSync, request syncrun.RenderRequest) (*render.Bundle, *evaluate.LastKnownGood, error) {
	bundle, good, err := r.renderer.Render(ctx, request)
	var unknown *syncrun.UnknownClusterError
	// Without last known good manifests, the error of one service may look like an error of all.
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

// isContent reports whether the content of the commit causes the error, so that a retry cannot
// help.
func isContent(err error) bool {
	var findings manifest.Findings
	var unknown *syncrun.UnknownClusterError
	return errors.As(err, &findings) || errors.As(err, &unknown)
}
