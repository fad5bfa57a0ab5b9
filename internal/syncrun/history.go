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

// WasApplied reports whether, according to the history, the bundle was fully applied and no other
// bundle was written since. A later commit that was partly applied must not be rolled back.
func WasApplied(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	entry := LastWritten(ms)
	if !IsEntryOf(entry, bundle) {
		return false
	}
	return entry.LastReconciledStatus == meta.ReconciliationSucceededReason || entry.LastReconciledStatus == v1alpha1.ReasonServicesFrozen
}

// WasInSync reports whether the cluster had all of the bundle at the end of the last run: nothing
// was refused, skipped, deferred or frozen. A difference is then drift.
func WasInSync(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	status := ms.Status
	return WasApplied(ms, bundle) && status.LastKnownGoodRevision == bundle.Revision && status.Refused == 0 && status.DeferredCount == 0 && len(status.Skipped) == 0
}

// isFirst reports whether no other bundle was ever written to this cluster.
func isFirst(ms *v1alpha1.MeshSync, bundle *render.Bundle) bool {
	return ms.Status.LastAppliedRevision == "" && !slices.ContainsFunc(ms.Status.History, func(entry meta.Snapshot) bool {
		written := strings.HasPrefix(entry.Digest, BundleDigest) && !WasNotBegun(entry.LastReconciledStatus) && entry.LastReconciledStatus != v1alpha1.ReasonObserved
		return written && !IsEntryOf(&entry, bundle)
	})
}

// LastWritten returns the newest history entry whose run may have written objects, nil if there is
// none.
func LastWritten(ms *v1alpha1.MeshSync) *meta.Snapshot {
	for i, entry := range ms.Status.History {
		// Entries without a bundle digest wrote nothing.
		if strings.HasPrefix(entry.Digest, BundleDigest) && !WasNotBegun(entry.LastReconciledStatus) {
			return &ms.Status.History[i]
		}
	}
	return nil
}

// WasNotBegun reports whether a result means that nothing of the bundle was written, because the
// plan was held or blocked. reason is that of the condition Ready.
func WasNotBegun(reason string) bool {
	switch reason {
	case plans.EmptyBundle, plans.MassDeletion, plans.LastEndpoint, preflight.GatewayOverlaps, v1alpha1.ReasonPermissionDenied, v1alpha1.ReasonKindUnavailable:
		return true
	default:
		return false
	}
}

// IsEntryOf reports whether a history entry belongs to the bundle.
func IsEntryOf(entry *meta.Snapshot, bundle *render.Bundle) bool {
	return entry != nil && entry.Digest == BundleDigest+bundle.Digest && entry.Metadata["revision"] == bundle.Revision
}

// BundleDigest is the prefix of bundle digests in the history. Commits without a bundle have the
// prefix sha1:.
const BundleDigest = "sha256:"
