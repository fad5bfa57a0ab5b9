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

// writeHistory adds a result that differs from the latest entry, or that wrote objects. Equal
// results are not counted, because that would write the status in every interval.
func (r *Reconciler) writeHistory(ms *v1alpha1.MeshSync, m *syncState, o outcome) {
	// A commit that is rejected during the fetch has no snapshot; m.fetched has an earlier commit.
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
		// Replace the entry of recordBegin.
		ms.Status.History = slices.DeleteFunc(ms.Status.History, func(entry meta.Snapshot) bool {
			return entry.Digest == digest && entry.LastReconciledStatus == meta.ProgressingReason
		})
	}
	ms.Status.History.Upsert(digest, r.now(), r.now().Sub(m.started), o.reason, map[string]string{"revision": revision})
}

// writeLastKnownGood records the last known good revision and the frozen services. If a last known
// good manifest is unknown, the old values stay, because they are needed to find it.
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

// recordBegin records in the status that a bundle may be partly written from now on. If the process
// dies before the end of the run, the next process must neither restore an older bundle nor treat
// services of this bundle as never good.
func (r *Reconciler) recordBegin(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, p *patcher, bundle *render.Bundle, plan plans.Plan) error {
	// A bundle that could not be compared with the cluster has a history entry but was not begun.
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
	if guard := plan.Overridden; guard != nil {
		r.events.Eventf(ms, corev1.EventTypeNormal, v1alpha1.ReasonAcknowledged,
			"Revision %s is no longer held: %s. Digest %s acknowledges it. The same loss would not be held again; to revoke the acknowledgement: %s",
			text.Short(bundle.Revision), guard.Reason, guard.Digest, syncrun.HowToRevoke(ms, bundle, guard.Digest))
	}
	return nil
}
