package meshsync

import (
	"context"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

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
	return wasApplied(ms, bundle) && status.LastKnownGoodRevision == bundle.Revision && status.Refused == 0 && status.DeferredCount == 0 && len(status.Skipped) == 0
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
	case plans.EmptyBundle, plans.MassDeletion, plans.LastEndpoint, preflight.GatewayOverlaps, v1alpha1.ReasonPermissionDenied, v1alpha1.ReasonKindUnavailable:
		return true
	default:
		return false
	}
}

// isOf tells whether an entry of the history is of a bundle.
func isOf(entry *meta.Snapshot, bundle *render.Bundle) bool {
	return entry != nil && entry.Digest == bundleDigest+bundle.Digest && entry.Metadata["revision"] == bundle.Revision
}

// bundleDigest begins the history's digest of a bundle, in contrast to that of a commit of which none could be made.
const bundleDigest = "sha256:"

// writeHistory notes a result that differs from the latest, or that wrote something. Equal results are not counted: that
// would be a write in every interval.
func (r *Reconciler) writeHistory(ms *v1alpha1.MeshSync, m *memory, o outcome) {
	// What is refused while it is fetched leaves no snapshot: the one in memory is of a commit before, which was good.
	if o.unread || m.fetched.snapshot == nil || o.reason == v1alpha1.ReasonContentRefused {
		return
	}
	digest, revision := "sha1:"+m.fetched.snapshot.Commit, m.fetched.snapshot.Revision
	if o.bundle != nil {
		digest = bundleDigest + o.bundle.Digest
	}
	latest := ms.Status.History.Latest()
	same := latest != nil && latest.Digest == digest && latest.LastReconciledStatus == o.reason && latest.Metadata["revision"] == revision
	if same && !o.wrote.any() {
		return
	}
	if !keptOut(o.reason) {
		// It takes the place of what was noted when it began.
		ms.Status.History = slices.DeleteFunc(ms.Status.History, func(entry meta.Snapshot) bool {
			return entry.Digest == digest && entry.LastReconciledStatus == meta.ProgressingReason
		})
	}
	ms.Status.History.Upsert(digest, r.now(), r.now().Sub(m.started), o.reason, map[string]string{"revision": revision})
}

// writeBasis notes what a later commit falls back to, if all of it is known: otherwise what the status says of earlier commits is all that there is
// to find out how things were.
func writeBasis(ms *v1alpha1.MeshSync, bundle *render.Bundle) {
	if !isKnown(bundle) {
		return
	}
	ms.Status.LastKnownGoodRevision = bundle.Revision
	ms.Status.FrozenCount = int64(len(bundle.Frozen))
	ms.Status.Frozen = nil
	for _, f := range bundle.Frozen[:min(len(bundle.Frozen), maxFrozen)] {
		ms.Status.Frozen = append(ms.Status.Frozen, v1alpha1.FrozenService{Service: f.Service, Revision: f.Revision})
	}
}

// begin notes that a bundle may be written in part from now on. Whoever comes after a process that ends before it can tell how that went must neither make anything
// older of it again nor take what it brought for what never was good.
func (r *Reconciler) begin(ctx context.Context, ms *v1alpha1.MeshSync, m *memory, p *patcher, bundle *render.Bundle, plan plans.Plan) error {
	// A bundle that could not be compared with the cluster stands in the history as well, and was not begun.
	begun := isOf(lastWritten(ms), bundle) && (!isKnown(bundle) || ms.Status.LastKnownGoodRevision == bundle.Revision)
	if plan.Overridden == nil && (begun || !plan.Writes()) {
		return nil
	}
	if err := r.applier.CheckLeader(ctx); err != nil {
		return err
	}
	if !begun {
		writeBasis(ms, bundle)
		ms.Status.History.Upsert(bundleDigest+bundle.Digest, r.now(), r.now().Sub(m.started), meta.ProgressingReason, map[string]string{"revision": bundle.Revision})
	}
	writeAgreed(ms, bundle, plan.Acknowledged)
	if err := p.status(ctx, ms); err != nil {
		return err
	}
	if passed := plan.Overridden; passed != nil {
		r.events.Eventf(ms, corev1.EventTypeNormal, v1alpha1.ReasonAcknowledged, "Revision %s is no longer held: %s. It was let pass by %s, and so would be the same another time: %s",
			short(bundle.Revision), passed.Reason, passed.Digest, wayBack(ms, bundle, passed.Digest))
	}
	return nil
}
