package meshsync

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/apply"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// errAnotherCluster is no cause to tell more of: the commit at hand is judged for it as well.
var errAnotherCluster = errors.New("the inventory of that commit has another uid for this cluster")

// recall makes the bundle that was applied last once more, for a new process that finds a commit which it must not apply:
// drift is then undone as if the process had never ended. It is nil unless the bundle is, by its digest in the
// history, the very one that was applied, and the commit passes the verification that the spec asks for now.
func (r *Reconciler) recall(ctx context.Context, ms *v1alpha1.MeshSync, m *memory) *render.Bundle {
	revision := ms.Status.LastAppliedRevision
	_, commit, ok := strings.Cut(revision, "sha1:")
	if !ok || m.recalled.over || r.now().Before(m.recalled.retry.due) {
		return nil
	}
	bundle, err := r.again(ctx, ms, revision, commit)
	if err != nil {
		m.recalled.retry.failed(r.now(), r.firstRetry, ms.RetryAfter())
		ctrl.LoggerFrom(ctx).Error(err, "what was applied before this process began cannot be made again, "+
			"so changes of it are not undone until a commit can be applied", "applied", revision)
		return nil
	}
	m.recalled.over = true
	if !wasApplied(ms, bundle) {
		ctrl.LoggerFrom(ctx).Info("the commit that was applied last now means something else for this cluster, "+
			"so changes of what was applied are not undone until a commit can be applied", "applied", revision)
		return nil
	}
	return bundle
}

// again fetches and renders one commit, if this is the cluster that it means.
func (r *Reconciler) again(ctx context.Context, ms *v1alpha1.MeshSync, revision, commit string) (*render.Bundle, error) {
	// A server that hangs leaves time to apply.
	limited, cancel := context.WithTimeout(ctx, ms.Within()/2)
	defer cancel()
	snapshot, err := r.fetcher.FetchCommit(limited, ms, commit)
	if err != nil {
		return nil, err
	}
	named := *snapshot
	named.Revision = revision
	bundle, _, err := r.render(ctx, ms, RenderRequest{Snapshot: &named, Cluster: ms.Spec.Cluster, Halt: ms.Spec.OnError == v1alpha1.OnErrorHalt})
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

// wasApplied reports whether the bundle is what the cluster has, as far as the history knows: applied whole, and nothing of
// another bundle written since. A later commit of which a part was applied must not be rolled back.
func wasApplied(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	entry := lastWritten(ms)
	if !isOf(entry, bundle) {
		return false
	}
	return entry.LastReconciledStatus == meta.ReconciliationSucceededReason || entry.LastReconciledStatus == v1alpha1.ReasonServicesFrozen
}

// wasInPlace reports whether all of the bundle was here when the last run ended, nothing refused, left alone, or kept for what was broken: what differs
// now was changed since.
func wasInPlace(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	status := ms.Status
	return wasApplied(ms, bundle) && status.BasisRevision == bundle.Revision && status.Refused == 0 && status.SettlingCount == 0 && len(status.LeftAlone) == 0
}

// isFirst reports whether nothing of another bundle was ever written here.
func isFirst(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	return ms.Status.LastAppliedRevision == "" && !slices.ContainsFunc(ms.Status.History, func(entry meta.Snapshot) bool {
		written := strings.HasPrefix(entry.Digest, bundleDigest) && !keptOut(entry.LastReconciledStatus) && entry.LastReconciledStatus != v1alpha1.ReasonObserved
		return written && !isOf(&entry, bundle)
	})
}

// lastWritten is the newest entry of the history by which anything was written, or may have been; nil if there is none.
func lastWritten(ms *v1alpha1.MeshSync) *meta.Snapshot {
	for i, entry := range ms.Status.History {
		// Of a commit of which no bundle could be made, nothing was.
		if strings.HasPrefix(entry.Digest, bundleDigest) && !keptOut(entry.LastReconciledStatus) {
			return &ms.Status.History[i]
		}
	}
	return nil
}

// keptOut tells whether a result means that nothing of the bundle was written: it was held, or not begun.
func keptOut(reason string) bool {
	switch reason {
	case apply.EmptyBundle, apply.MassDeletion, apply.LastEndpoint, preflight.GatewayOverlaps, v1alpha1.ReasonPermissionDenied, v1alpha1.ReasonKindUnavailable:
		return true
	default:
		return false
	}
}

// isOf tells whether an entry of the history is of a bundle.
func isOf(entry *meta.Snapshot, bundle *render.Bundle) bool {
	return entry != nil && entry.Digest == bundleDigest+bundle.Digest && entry.Metadata["revision"] == bundle.Revision
}
