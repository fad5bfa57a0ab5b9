package meshsync

import (
	"context"
	"errors"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// errAnotherCluster is logged only; the check of the current commit reports a wrong cluster.
var errAnotherCluster = errors.New("the inventory of the last applied commit has another uid for this cluster")

// restoreLastApplied renders the last applied bundle again, for a new process that finds a commit
// that it must not apply. Drift is then corrected as if the process had not restarted. It returns
// nil unless the digest in the history matches and the commit passes the verification in the spec.
func (r *Reconciler) restoreLastApplied(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState) *render.Bundle {
	revision := ms.Status.LastAppliedRevision
	_, commit, ok := strings.Cut(revision, "sha1:")
	if !ok || m.restored.over || r.now().Before(m.restored.retry.due) {
		return nil
	}
	bundle, err := r.renderCommit(ctx, ms, revision, commit)
	if err != nil {
		m.restored.retry.failed(r.now(), r.firstRetry, ms.GetRetryInterval())
		ctrl.LoggerFrom(ctx).Error(err, "cannot restore the last applied bundle, so drift is not corrected until a commit can be applied", "applied", revision)
		return nil
	}
	m.restored.over = true
	if !syncrun.WasApplied(ms, bundle) {
		ctrl.LoggerFrom(ctx).Info("the last applied commit now renders another bundle for this cluster, so drift is not corrected until a commit can be applied", "applied", revision)
		return nil
	}
	return bundle
}

// renderCommit fetches and renders one commit, if its inventory has the uid of this cluster.
func (r *Reconciler) renderCommit(ctx context.Context, ms *v1alpha1.MeshSync, revision, commit string) (*render.Bundle, error) {
	// Leave time to apply if the server hangs.
	limited, cancel := context.WithTimeout(ctx, ms.GetTimeout()/2)
	defer cancel()
	snapshot, err := r.fetcher.FetchCommit(limited, ms, commit)
	if err != nil {
		return nil, err
	}
	named := *snapshot
	named.Revision = revision
	bundle, _, err := r.render(ctx, ms, syncrun.RenderRequest{Snapshot: &named, Cluster: ms.Spec.Cluster, Halt: ms.Spec.OnError == v1alpha1.OnErrorHalt})
	if err != nil || bundle.UID == "" {
		return bundle, err
	}
	uid, err := r.identity.UID(ctx)
	if err != nil {
		return nil, err
	}
	if uid != bundle.UID {
		return nil, errAnotherCluster
	}
	return bundle, nil
}
