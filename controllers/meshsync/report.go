package meshsync

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// report turns an outcome into conditions, status, events, metrics and the time of the next run. It
// writes the status only if it differs, so that a steady cluster costs no request.
func (r *Reconciler) report(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, p *patcher, o outcome) (ctrl.Result, error) {
	if o.lostRace && m.retry.count <= 1 {
		r.writeMetrics(ms, m, o)
		ctrl.LoggerFrom(ctx).V(1).Info("another writer changed an object at the same time; trying again", "error", o.cause.Error())
		return ctrl.Result{RequeueAfter: r.nextRun(ms, m, o)}, nil
	}
	o = fitToStatus(o)
	before := ms.DeepCopy()
	r.writeConditions(ms, o)
	r.writeStatus(ms, m, o)
	r.writeMetrics(ms, m, o)
	wait := r.nextRun(ms, m, o)
	r.log(ctx, before, ms, o, wait)
	r.emit(before, ms, o)
	if err := p.status(ctx, ms); err != nil {
		// The MeshSync may have been deleted meanwhile.
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("cannot write the status of MeshSync %s/%s: %w", ms.Namespace, ms.Name, err))
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

func (r *Reconciler) writeConditions(ms *v1alpha1.MeshSync, o outcome) {
	switch o.conclusion {
	case succeeded:
		conditions.MarkTrue(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.Delete(ms, meta.ReconcilingCondition)
		conditions.Delete(ms, meta.StalledCondition)
	case deferring:
		conditions.MarkUnknown(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.MarkReconciling(ms, o.reason, "%s", o.message)
		conditions.Delete(ms, meta.StalledCondition)
	case retrying:
		conditions.MarkFalse(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.MarkReconciling(ms, meta.ProgressingWithRetryReason, "%s", o.message)
		conditions.Delete(ms, meta.StalledCondition)
	case stalled:
		conditions.MarkFalse(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.MarkStalled(ms, o.reason, "%s", o.message)
		conditions.Delete(ms, meta.ReconcilingCondition)
	}
	writeVerified(ms, o)
	writePreflight(ms, o)
	writeHealthy(ms, o)
}

func writeVerified(ms *v1alpha1.MeshSync, o outcome) {
	switch {
	case ms.Spec.Source.Verify == nil:
		conditions.Delete(ms, v1alpha1.SourceVerifiedCondition)
	case o.reason == v1alpha1.ReasonVerificationFailed:
		conditions.MarkFalse(ms, v1alpha1.SourceVerifiedCondition, o.reason, "%s", o.message)
	}
}

func (r *Reconciler) writeStatus(ms *v1alpha1.MeshSync, m *syncState, o outcome) {
	status := &ms.Status
	if token, ok := meta.ReconcileAnnotationValue(ms.Annotations); ok {
		status.SetLastHandledReconcileRequest(token)
	}
	if o.conclusion != retrying {
		status.ObservedGeneration = ms.Generation
	}
	if !o.saysNothing {
		status.Held = o.held
		status.ErrorCount = int64(len(o.errors))
		status.Errors = firstTen(o.errors)
		status.Pending = o.pending[:min(len(o.pending), maxPending)]
	}
	if o.counts() {
		status.Services = int64(o.bundle.Services)
		status.Resources = int64(len(o.bundle.Resources))
		status.Refused = int64(len(syncrun.Refusals(o.plan)))
		status.Skipped = firstTen(syncrun.SkippedObjects(o.plan))
		deferred := deferrals(o.plan)
		status.DeferredCount = int64(len(deferred))
		status.Deferred = deferred[:min(len(deferred), maxTimed)]
		withdrawing := withdrawals(o.plan)
		status.WithdrawingCount = int64(len(withdrawing))
		status.Withdrawing = withdrawing[:min(len(withdrawing), maxTimed)]
		adoptable := adoptions(o.plan)
		status.AdoptableCount = int64(len(adoptable))
		status.Adoptable = adoptable[:min(len(adoptable), maxPending)]
		status.UnusedNamespaces = firstTen(o.plan.UnusedNamespaces)
	}
	r.writeLastChange(ms, o)
	if o.carriedOut || o.observeOnly {
		writeLastKnownGood(ms, o.bundle)
	}
	if o.carriedOut && o.cause == nil && len(o.plan.Deferrals()) == 0 {
		status.Acknowledged = nil
	}
	if o.isApplied() {
		if status.LastAppliedRevision != o.bundle.Revision && m.fetched.snapshot.RewrittenFrom == "" {
			status.RewrittenFrom = ""
		}
		status.LastAppliedRevision = o.bundle.Revision
	}
	r.writeHistory(ms, m, o)
}

// writeLastChange writes the counts of the last run that changed objects. Later runs keep them.
func (r *Reconciler) writeLastChange(ms *v1alpha1.MeshSync, o outcome) {
	change := o.wrote
	if o.observeOnly {
		change = countPlanned(o.plan)
	} else if !change.any() {
		return
	}
	ms.Status.Applied = int64(change.created + change.updated + change.claimed + change.adopted)
	ms.Status.Pruned = int64(change.deleted)
	ms.Status.Drifted = int64(len(change.drifted))
}

func (r *Reconciler) writeMetrics(ms *v1alpha1.MeshSync, m *syncState, o outcome) {
	namespace, name := ms.Namespace, ms.Name
	r.metrics.reconciles.WithLabelValues(namespace, name, o.reason).Inc()
	r.metrics.ready.WithLabelValues(namespace, name).Set(truth(o.conclusion == succeeded))
	r.metrics.stalled.WithLabelValues(namespace, name).Set(truth(o.conclusion == stalled))
	r.metrics.countIdle(ms)
	if !o.saysNothing {
		r.metrics.findings.WithLabelValues(namespace, name).Set(float64(o.brokenCount))
		r.metrics.held.WithLabelValues(namespace, name).Set(truth(o.held != nil))
	}
	if o.counts() {
		r.metrics.services.WithLabelValues(namespace, name).Set(float64(o.bundle.Services))
		for state, n := range map[string]int{
			"desired": len(o.bundle.Resources), "unchanged": o.plan.Unchanged,
			"refused": len(syncrun.Refusals(o.plan)), "skipped": len(syncrun.SkippedObjects(o.plan)), "withdrawing": len(o.plan.Withdrawals()),
		} {
			r.metrics.resources.WithLabelValues(namespace, name, state).Set(float64(n))
		}
	}
	if o.carriedOut || o.observeOnly {
		r.metrics.frozen.WithLabelValues(namespace, name).Set(float64(len(o.bundle.Frozen)))
	}
	r.metrics.countProblems(ms, o)
	for verb, n := range map[string]int{
		"create": o.wrote.created, "update": o.wrote.updated, "claim": o.wrote.claimed, "adopt": o.wrote.adopted, "delete": o.wrote.deleted,
	} {
		r.metrics.written.WithLabelValues(namespace, name, verb).Add(float64(n))
	}
	r.metrics.writeErrors.WithLabelValues(namespace, name).Add(float64(o.wrote.failed))
	r.metrics.drift.WithLabelValues(namespace, name).Add(float64(len(o.wrote.drifted)))
	r.metrics.fights.WithLabelValues(namespace, name).Set(float64(len(m.plannerFor(r.reader).Fights().Active(r.now()))))
	r.writeLag(ms, m, o)
}

func (r *Reconciler) writeLag(ms *v1alpha1.MeshSync, m *syncState, o outcome) {
	key := client.ObjectKeyFromObject(ms)
	switch {
	case o.inPlace():
		m.behindSince, m.reached = time.Time{}, o.bundle.Revision
	case m.behindSince.IsZero() && isAhead(ms, m, o):
		m.behindSince = r.now()
	}
	r.metrics.lag.set(key, m.behindSince, true)
	if !o.isApplied() {
		return
	}
	r.metrics.lastApplied.WithLabelValues(key.Namespace, key.Name).Set(float64(r.now().Unix()))
	r.metrics.revision.DeletePartialMatch(map[string]string{"namespace": key.Namespace, "name": key.Name})
	r.metrics.revision.WithLabelValues(key.Namespace, key.Name, o.bundle.Cluster, o.bundle.Revision).Set(1)
}

// isAhead reports whether the branch has a commit that the cluster does not have. In mode Observe,
// a commit that was found in sync counts as applied.
func isAhead(ms *v1alpha1.MeshSync, m *syncState, o outcome) bool {
	if o.observeOnly {
		return true
	}
	attempted := ms.Status.LastAttemptedRevision
	return attempted != ms.Status.LastAppliedRevision && (ms.Spec.Mode != v1alpha1.ModeObserve || attempted != m.reached)
}

// nextRun is the wait before the next run if no event wakes the reconciler earlier.
func (r *Reconciler) nextRun(ms *v1alpha1.MeshSync, m *syncState, o outcome) time.Duration {
	now := r.now()
	wait := ms.GetInterval()
	if o.reason != v1alpha1.ReasonAnotherMeshSync && !m.fetched.due.IsZero() {
		wait = m.fetched.due.Sub(now)
	}
	if o.conclusion == retrying && m.retry.due.After(now) {
		wait = min(wait, m.retry.due.Sub(now))
	}
	if o.plan != nil {
		if due := o.plan.Due(); !due.IsZero() {
			wait = min(wait, due.Sub(now))
		}
	}
	if _, until := m.plannerFor(r.reader).Fights().Backoffs(now); !until.IsZero() {
		wait = min(wait, until.Sub(now))
	}
	// controller-runtime treats zero as no next run.
	return max(wait, 10*time.Millisecond)
}

// emit posts an event for an outcome that differs from the last one, and for each correction of
// drift.
func (r *Reconciler) emit(before, ms *v1alpha1.MeshSync, o outcome) {
	annotations := map[string]string{}
	// Flux's notification-controller looks for the API group as the prefix of the key.
	if revision := ms.Status.LastAttemptedRevision; revision != "" {
		annotations[v1alpha1.GroupVersion.Group+"/revision"] = revision
	}
	if len(o.wrote.drifted) > 0 {
		r.events.AnnotatedEventf(ms, annotations, corev1.EventTypeNormal, v1alpha1.ReasonDriftCorrected,
			"Corrected drift on %s: %s", text.Count(len(o.wrote.drifted), "object"), keys(o.wrote.drifted))
	}
	same := conditions.GetReason(before, meta.ReadyCondition) == o.reason && conditions.GetMessage(before, meta.ReadyCondition) == o.message
	if same {
		return
	}
	switch {
	case o.conclusion == deferring:
		r.events.AnnotatedEventf(ms, annotations, corev1.EventTypeNormal, o.reason, "%s", o.message)
	case o.conclusion != succeeded:
		r.events.AnnotatedEventf(ms, annotations, corev1.EventTypeWarning, o.reason, "%s", o.message)
	case o.wrote.any():
		r.events.AnnotatedEventf(ms, annotations, corev1.EventTypeNormal, o.reason, "%s (%s)", o.message, o.wrote)
	default:
		r.events.AnnotatedEventf(ms, annotations, corev1.EventTypeNormal, o.reason, "%s", o.message)
	}
}

func (r *Reconciler) log(ctx context.Context, before, ms *v1alpha1.MeshSync, o outcome, next time.Duration) {
	log := ctrl.LoggerFrom(ctx).WithValues("revision", ms.Status.LastAttemptedRevision, "reason", o.reason)
	same := conditions.GetReason(before, meta.ReadyCondition) == o.reason && conditions.GetMessage(before, meta.ReadyCondition) == o.message &&
		equality.Semantic.DeepEqual(before.Status.Pending, ms.Status.Pending)
	if len(o.pending) > 0 {
		would := countPlanned(o.plan)
		log = log.WithValues("would_create", would.created, "would_update", would.updated, "would_claim", would.claimed, "would_adopt", would.adopted,
			"would_delete", would.deleted)
		if !same {
			log = log.WithValues("pending", o.pending)
		}
	}
	switch {
	case o.conclusion != succeeded && o.conclusion != deferring && !same:
		log.Error(o.cause, o.message, "next", next.String())
	case o.observeOnly && !same:
		log.Info(o.message, "next", next.String())
	case o.wrote.any() || !same:
		log.Info(o.message, "created", o.wrote.created, "updated", o.wrote.updated, "claimed", o.wrote.claimed, "adopted", o.wrote.adopted,
			"deleted", o.wrote.deleted, "drifted", len(o.wrote.drifted), "next", next.String())
	default:
		log.V(1).Info(o.message, "next", next.String())
	}
}
