package meshsync

import (
	"context"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// writeHistory notes a result that differs from the latest, or that wrote something. Equal results are not counted: that
// would be a write in every interval.
func (r *Reconciler) writeHistory(ms *v1alpha1.MeshSync, m *syncState, o outcome) {
	// What is refused while it is fetched leaves no snapshot: the one in memory is of a commit before, which was good.
	if o.saysNothing || m.fetched.snapshot == nil || o.reason == v1alpha1.ReasonContentRefused {
		return
	}
	digest, revision := "sha1:"+m.fetched.snapshot.Commit, m.fetched.snapshot.Revision
	if o.bundle != nil {
		digest = syncrun.BundleDigest + o.bundle.Digest
	}
	latest := ms.Status.History.Latest()
	same := latest != nil && latest.Digest == digest && latest.LastReconciledStatus == o.reason && latest.Metadata["revision"] == revision
	if same && !o.wrote.any() {
		return
	}
	if !syncrun.WasNotBegun(o.reason) {
		// It takes the place of what was noted when it began.
		ms.Status.History = slices.DeleteFunc(ms.Status.History, func(entry meta.Snapshot) bool {
			return entry.Digest == digest && entry.LastReconciledStatus == meta.ProgressingReason
		})
	}
	ms.Status.History.Upsert(digest, r.now(), r.now().Sub(m.started), o.reason, map[string]string{"revision": revision})
}

// writeBasis notes what a later commit falls back to, if all of it is known: otherwise what the status says of earlier commits is all that there is
// to find out how things were.
func writeLastKnownGood(ms *v1alpha1.MeshSync, bundle *render.Bundle) {
	if !syncrun.LastKnownGoodFound(bundle) {
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
func (r *Reconciler) recordBegin(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, p *patcher, bundle *render.Bundle, plan plans.Plan) error {
	// A bundle that could not be compared with the cluster stands in the history as well, and was not begun.
	begun := syncrun.IsEntryOf(syncrun.LastWritten(ms), bundle) && (!syncrun.LastKnownGoodFound(bundle) || ms.Status.LastKnownGoodRevision == bundle.Revision)
	if plan.Overridden == nil && (begun || !plan.Writes()) {
		return nil
	}
	if err := r.applier.CheckLeader(ctx); err != nil {
		return err
	}
	if !begun {
		writeLastKnownGood(ms, bundle)
		ms.Status.History.Upsert(syncrun.BundleDigest+bundle.Digest, r.now(), r.now().Sub(m.started), meta.ProgressingReason, map[string]string{"revision": bundle.Revision})
	}
	writeAcknowledged(ms, bundle, plan.Acknowledged)
	if err := p.status(ctx, ms); err != nil {
		return err
	}
	if passed := plan.Overridden; passed != nil {
		r.events.Eventf(ms, corev1.EventTypeNormal, v1alpha1.ReasonAcknowledged, "Revision %s is no longer held: %s. Digest %s acknowledges it. The same loss would not be held again; to revoke the acknowledgement: %s",
			text.Short(bundle.Revision), passed.Reason, passed.Digest, syncrun.HowToRevoke(ms, bundle, passed.Digest))
	}
	return nil
}
