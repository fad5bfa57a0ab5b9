package syncrun

import (
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// wasApplied reports whether the bundle is what the cluster has, as far as the history knows: applied whole, and nothing of
// another bundle written since. A later commit of which a part was applied must not be rolled back.
func WasApplied(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	entry := LastWritten(ms)
	if !IsEntryOf(entry, bundle) {
		return false
	}
	return entry.LastReconciledStatus == meta.ReconciliationSucceededReason || entry.LastReconciledStatus == v1alpha1.ReasonServicesFrozen
}

// wasInPlace reports whether all of the bundle was here when the last run ended, nothing refused, left alone, or kept for what was broken: what differs
// now was changed since.
func WasInSync(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	status := ms.Status
	return WasApplied(ms, bundle) && status.LastKnownGoodRevision == bundle.Revision && status.Refused == 0 && status.DeferredCount == 0 && len(status.Skipped) == 0
}

// isFirst reports whether nothing of another bundle was ever written here.
func isFirst(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	return ms.Status.LastAppliedRevision == "" && !slices.ContainsFunc(ms.Status.History, func(entry meta.Snapshot) bool {
		written := strings.HasPrefix(entry.Digest, BundleDigest) && !WasNotBegun(entry.LastReconciledStatus) && entry.LastReconciledStatus != v1alpha1.ReasonObserved
		return written && !IsEntryOf(&entry, bundle)
	})
}

// lastWritten is the newest entry of the history by which anything was written, or may have been; nil if there is none.
func LastWritten(ms *v1alpha1.MeshSync) *meta.Snapshot {
	for i, entry := range ms.Status.History {
		// Of a commit of which no bundle could be made, nothing was.
		if strings.HasPrefix(entry.Digest, BundleDigest) && !WasNotBegun(entry.LastReconciledStatus) {
			return &ms.Status.History[i]
		}
	}
	return nil
}

// keptOut tells whether a result means that nothing of the bundle was written: it was held, or not begun.
func WasNotBegun(reason string) bool {
	switch reason {
	case plans.EmptyBundle, plans.MassDeletion, plans.LastEndpoint, preflight.GatewayOverlaps, v1alpha1.ReasonPermissionDenied, v1alpha1.ReasonKindUnavailable:
		return true
	default:
		return false
	}
}

// isOf tells whether an entry of the history is of a bundle.
func IsEntryOf(entry *meta.Snapshot, bundle *render.Bundle) bool {
	return entry != nil && entry.Digest == BundleDigest+bundle.Digest && entry.Metadata["revision"] == bundle.Revision
}

// bundleDigest begins the history's digest of a bundle, in contrast to that of a commit of which none could be made.
const BundleDigest = "sha256:"
