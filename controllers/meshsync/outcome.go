package meshsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/apply"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// verdict says who has the next move.
type verdict int

const (
	// done: the cluster is as the repository says, or, in mode Observe, is known.
	done verdict = iota
	// retrying: it may work the next time, nobody has to do anything.
	retrying
	// settling: all is done but what other clusters have to offer first.
	settling
	// waiting: a person has to act, in Git or on this cluster. Git is still looked at in every interval.
	waiting
)

// outcome is how one run ended.
type outcome struct {
	verdict verdict
	// reason and message are those of the Ready condition. The message says what was left untouched and what to do.
	reason, message string
	// cause is for the log only.
	cause error
	// bundle and plan are of the commit that was looked at, nil where it did not get so far.
	bundle *render.Bundle
	plan   *apply.Plan
	// wrote is what was written, by this run, whichever bundle it was for.
	wrote writes
	// errors are what status.errors lists.
	errors []v1alpha1.SyncError
	// broken counts the errors that stand in the commit itself.
	broken int
	held   *v1alpha1.Held
	// pending are the writes that were planned and not made: in mode Observe, and of what is held.
	pending []v1alpha1.Pending
	// fleeting marks a race that was lost to somebody else and is usually won at once: not worth an alarm.
	fleeting bool
	// carriedOut: the plan was, whole or in part.
	carriedOut bool
	// observes: nothing was written, since spec.mode is Observe.
	observes bool
	// unread marks an outcome that says nothing about the commit, so that what the status says of the last one stays.
	unread bool
}

// counts reports whether the outcome tells how many resources of each sort there are. A held plan does not: it is not carried out.
func (o outcome) counts() bool { return o.bundle != nil && o.plan != nil && o.held == nil }

const untouched = "Everything applied before stays as it was."

func failedInternally(doing string, err error) outcome {
	return outcome{verdict: retrying, reason: v1alpha1.ReasonInternal, message: fmt.Sprintf("%s: %v", doing, err), cause: err, unread: true}
}

func anotherMeshSync(rival *v1alpha1.MeshSync) outcome {
	return outcome{
		verdict: waiting, reason: v1alpha1.ReasonAnotherMeshSync, unread: true,
		message: fmt.Sprintf("MeshSync %s/%s is older and manages this cluster; only one can. This one does nothing, and takes over when the other is deleted.",
			rival.Namespace, rival.Name),
	}
}

// fetchFailed classifies what source and the Secrets say.
func fetchFailed(err error) outcome {
	o := outcome{verdict: retrying, reason: string(source.ReasonFor(err)), cause: err, unread: true}
	var secret *secretError
	if errors.As(err, &secret) {
		o.reason = v1alpha1.ReasonSourceInvalid
	}
	switch o.reason {
	case v1alpha1.ReasonSourceInvalid, v1alpha1.ReasonContentRefused:
		o.verdict = waiting
	}
	var findings manifest.Findings
	if errors.As(err, &findings) {
		o.unread = false
		o.errors, o.broken = syncErrors(findings), len(findings)
	}
	// Where there are findings, the error lists all of them after its first line.
	what, _, listed := strings.Cut(err.Error(), "\n")
	if listed && len(findings) > 0 {
		what += " " + first(findings)
	}
	o.message = sentence(what) + " " + untouched
	return o
}

// refusedCommit is the commit that an error of the fetch is about, which was fetched and is not used; empty if there is none.
func refusedCommit(err error) (revision, rewound string) {
	var e *source.Error
	if !errors.As(err, &e) {
		return "", ""
	}
	return e.Revision, e.Rewound
}

// renderFailed classifies what evaluate, mesh and render say.
func renderFailed(snapshot *source.Snapshot, err error) outcome {
	var findings manifest.Findings
	switch {
	case errors.As(err, &findings):
		return outcome{
			verdict: waiting, reason: v1alpha1.ReasonInvalidContent, cause: err,
			errors: syncErrors(findings), broken: len(findings),
			message: fmt.Sprintf("Revision %s is not applied, since it has %s: %s %s",
				short(snapshot.Revision), count(len(findings), "error"), sentence(first(findings)), untouched),
		}
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{
			verdict: retrying, reason: v1alpha1.ReasonTimeout, cause: err, unread: true,
			message: fmt.Sprintf("Revision %s could not be evaluated within spec.timeout; raise it if this repeats. %s", short(snapshot.Revision), untouched),
		}
	default:
		return outcome{
			verdict: retrying, reason: v1alpha1.ReasonEvaluationFailed, cause: err, unread: true,
			message: fmt.Sprintf("Revision %s could not be evaluated: %s %s", short(snapshot.Revision), sentence(err.Error()), untouched),
		}
	}
}

func unknownCluster(ms *v1alpha1.MeshSync, snapshot *source.Snapshot, err error) outcome {
	return outcome{
		verdict: waiting, reason: v1alpha1.ReasonUnknownCluster, cause: err,
		message: fmt.Sprintf("Cluster %q is not in the inventory of revision %s; add it there, or correct spec.cluster. Nothing is touched.",
			ms.Spec.Cluster, short(snapshot.Revision)),
	}
}

func wrongCluster(bundle *render.Bundle, uid string) outcome {
	return outcome{
		verdict: waiting, reason: v1alpha1.ReasonWrongCluster, bundle: bundle,
		message: fmt.Sprintf("The inventory of revision %s says that cluster %q has the uid %s, but the kube-system namespace of this cluster has %s: "+
			"this is another cluster. Correct spec.cluster, or the uid in the inventory. Nothing is touched.",
			short(bundle.Revision), bundle.Cluster, bundle.UID, uid),
	}
}

func planFailed(bundle *render.Bundle, err error) outcome {
	o := outcome{
		verdict: retrying, reason: v1alpha1.ReasonApplyFailed, bundle: bundle, cause: err,
		message: fmt.Sprintf("Revision %s could not be compared with this cluster: %s %s", short(bundle.Revision), sentence(err.Error()), untouched),
	}
	var unavailable *unavailableError
	if errors.As(err, &unavailable) {
		o.reason = v1alpha1.ReasonKindUnavailable
		o.message = fmt.Sprintf("Revision %s is not applied: %s Nothing was written; it goes on by itself once that is mended.",
			short(bundle.Revision), sentence(err.Error()))
	}
	return o
}

// braked is a plan that loses more than it may without a person's agreement.
func braked(ms *v1alpha1.MeshSync, bundle *render.Bundle, plan *apply.Plan) outcome {
	digest := plan.Brake.Digest
	return outcome{
		verdict: waiting, reason: plan.Brake.Kind, bundle: bundle, plan: plan,
		pending: pending(plan),
		errors:  syncErrors(bundle.Findings), broken: len(bundle.Findings),
		held: &v1alpha1.Held{Kind: plan.Brake.Kind, Digest: digest, Revision: bundle.Revision, Reason: plan.Brake.Reason},
		message: fmt.Sprintf("Revision %s is held: %s %s If it is meant, let it pass on this cluster: "+
			"kubectl -n %s annotate --overwrite meshsync %s %s=%s; or in Git, for every cluster that is held, by its own digest (status.held.digest): "+
			"settings: acknowledge: [%q]. If it is not, revert the commit. What waits is listed in status.pending.",
			short(bundle.Revision), sentence(plan.Brake.Reason), untouched, ms.Namespace, ms.Name, v1alpha1.AcknowledgeAnnotation, digest, digest),
	}
}

func observed(bundle *render.Bundle, plan *apply.Plan) outcome {
	todo := pending(plan)
	what := "nothing to change."
	if len(todo) > 0 {
		what = fmt.Sprintf("%s. Nothing is written, since spec.mode is Observe. It would: %s.", planned(plan).toDo(), firstPending(todo))
	}
	o := outcome{
		verdict: done, reason: v1alpha1.ReasonObserved, observes: true, bundle: bundle, plan: plan, pending: todo,
		errors: append(refusals(plan), syncErrors(bundle.Findings)...), broken: len(bundle.Findings),
		message: fmt.Sprintf("Observed %s: %s", short(bundle.Revision), what),
	}
	if len(bundle.Findings) > 0 {
		o.verdict, o.reason = waiting, v1alpha1.ReasonServicesFrozen
		o.message += fmt.Sprintf(" Without what is broken in it: %s %s", sentence(first(bundle.Findings)), frozenMessage(bundle))
	}
	return o
}

// applied is a plan that was carried out, whole or in part.
func applied(bundle *render.Bundle, plan *apply.Plan, result apply.Result, err error) outcome {
	o := outcome{bundle: bundle, plan: plan, wrote: wrote(result), cause: err, errors: failures(result), carriedOut: true}
	refused := refusals(plan)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		o.verdict, o.reason = retrying, v1alpha1.ReasonTimeout
		o.message = fmt.Sprintf("Revision %s was not applied whole within spec.timeout. It goes on from there; raise spec.timeout if this repeats.", short(bundle.Revision))
	case err != nil:
		o.verdict, o.reason, o.fleeting = retrying, v1alpha1.ReasonApplyFailed, conflicts(err)
		o.message = fmt.Sprintf("Revision %s could not be applied whole, so nothing was deleted; it is tried again: %s", short(bundle.Revision), sentence(firstOf(err)))
	case len(refused) > 0:
		o.verdict, o.reason, o.errors = waiting, v1alpha1.ReasonRefused, refused
		o.message = fmt.Sprintf("Revision %s is applied, except for %s: %s", short(bundle.Revision), count(len(refused), "resource"),
			sentence(refused[0].Resource+": "+refused[0].Message))
	case len(plan.Waits()) > 0:
		waits := plan.Waits()
		o.verdict, o.reason = settling, v1alpha1.ReasonSettling
		o.message = fmt.Sprintf("Revision %s is applied, except for %s that newly lead to other clusters, which see it at another moment: written at %s, %s first.",
			short(bundle.Revision), count(len(waits), "object"), plan.Due().UTC().Format(time.RFC3339), waits[0].Key)
	case len(bundle.Findings) > 0:
		o.verdict, o.reason = waiting, v1alpha1.ReasonServicesFrozen
		o.message = fmt.Sprintf("Revision %s is applied, except for what is broken in it: %s %s",
			short(bundle.Revision), sentence(first(bundle.Findings)), frozenMessage(bundle))
	default:
		o.verdict, o.reason = done, meta.ReconciliationSucceededReason
		o.message = "Applied revision: " + short(bundle.Revision)
	}
	if len(bundle.Findings) > 0 {
		o.errors = append(o.errors, syncErrors(bundle.Findings)...)
		o.broken = len(bundle.Findings)
	}
	return o
}

// frozenMessage says what became of broken services.
func frozenMessage(bundle *render.Bundle) string {
	var words, kept, leftOut []string
	for _, f := range bundle.Frozen {
		switch {
		case slices.Contains(bundle.Lost, f.Service):
		case f.Revision == "":
			leftOut = append(leftOut, f.Service)
		default:
			kept = append(kept, f.Service)
		}
	}
	if len(bundle.Lost) > 0 {
		words = append(words, fmt.Sprintf("Nothing is deleted or narrowed meanwhile, since it may stem from %s, and %s", few(bundle.Lost), sentence(lostReason(bundle))))
	}
	if len(kept) > 0 {
		words = append(words, fmt.Sprintf("Kept as they were when they were good last: %s.", few(kept)))
	}
	if len(leftOut) > 0 {
		words = append(words, fmt.Sprintf("Left out, since they never were good: %s.", few(leftOut)))
	}
	if len(words) == 0 {
		words = append(words, "What is broken was never here, and is left out.")
	}
	return strings.Join(append(words, "Mend it, or revert the commit."), " ")
}

// isApplied tells whether the outcome has a commit applied, frozen services aside.
func (o outcome) isApplied() bool {
	return !o.observes && (o.verdict == done && o.reason == meta.ReconciliationSucceededReason || o.reason == v1alpha1.ReasonServicesFrozen)
}

// report turns an outcome into conditions, status, events, metrics and the time of the next run. It writes the
// status only if something in it differs, so that a steady cluster costs no request.
func (r *Reconciler) report(ctx context.Context, ms *v1alpha1.MeshSync, m *memory, p *patcher, o outcome) (ctrl.Result, error) {
	if o.fleeting && m.retry.count <= 1 {
		r.writeMetrics(ms, m, o)
		ctrl.LoggerFrom(ctx).V(1).Info("somebody else wrote at the same time; it is tried again", "error", o.cause.Error())
		return ctrl.Result{RequeueAfter: r.nextRun(ms, m, o)}, nil
	}
	o = fitted(o)
	before := ms.DeepCopy()
	r.writeConditions(ms, o)
	r.writeStatus(ms, m, o)
	r.writeMetrics(ms, m, o)
	wait := r.nextRun(ms, m, o)
	r.log(ctx, before, ms, o, wait)
	r.emit(before, ms, o)
	if err := p.status(ctx, ms); err != nil {
		// The object may be gone meanwhile, which is nobody's fault.
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("cannot write the status of MeshSync %s/%s: %w", ms.Namespace, ms.Name, err))
	}
	return ctrl.Result{RequeueAfter: wait}, nil
}

func (r *Reconciler) writeConditions(ms *v1alpha1.MeshSync, o outcome) {
	switch o.verdict {
	case done:
		conditions.MarkTrue(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.Delete(ms, meta.ReconcilingCondition)
		conditions.Delete(ms, meta.StalledCondition)
	case settling:
		conditions.MarkUnknown(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.MarkReconciling(ms, o.reason, "%s", o.message)
		conditions.Delete(ms, meta.StalledCondition)
	case retrying:
		conditions.MarkFalse(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.MarkReconciling(ms, meta.ProgressingWithRetryReason, "%s", o.message)
		conditions.Delete(ms, meta.StalledCondition)
	case waiting:
		conditions.MarkFalse(ms, meta.ReadyCondition, o.reason, "%s", o.message)
		conditions.MarkStalled(ms, o.reason, "%s", o.message)
		conditions.Delete(ms, meta.ReconcilingCondition)
	}
	writeVerified(ms, o)
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

// Healthy is about the resources, Ready about the run: a run that could not read the repository says nothing
// about them, so what was known stays.
func writeHealthy(ms *v1alpha1.MeshSync, o outcome) {
	if o.plan == nil || o.held != nil {
		return
	}
	bad := refusals(o.plan)
	switch {
	case o.wrote.failed > 0:
		conditions.MarkFalse(ms, meta.HealthyCondition, v1alpha1.ReasonApplyFailed, "%s could not be written", count(o.wrote.failed, "object"))
	case len(bad) > 0:
		conditions.MarkFalse(ms, meta.HealthyCondition, v1alpha1.ReasonRefused, "%s belongs to somebody else or is opted out, and is not what the repository says", list(bad))
	case len(o.plan.Complaints) > 0:
		writeComplaints(ms, o.plan.Complaints)
	case o.isApplied():
		except := ""
		if n := len(left(o.plan)); n > 0 {
			except = fmt.Sprintf(", except %d left alone", n)
		}
		conditions.MarkTrue(ms, meta.HealthyCondition, meta.SucceededReason, "All resources of %s are in place%s", short(o.bundle.Revision), except)
	}
}

// writeComplaints tells what istiod says, of what it refuses first.
func writeComplaints(ms *v1alpha1.MeshSync, all []apply.Complaint) {
	first, refused := all[0], 0
	for _, c := range all {
		if c.Refused {
			refused++
		}
		if c.Refused && !first.Refused {
			first = c
		}
	}
	if refused > 0 {
		conditions.MarkFalse(ms, meta.HealthyCondition, v1alpha1.ReasonIstioRefuses, "Istio refuses %s: %s: %s",
			count(refused, "object"), first.Key, shortened(first.Message))
		return
	}
	conditions.MarkUnknown(ms, meta.HealthyCondition, meta.ProgressingReason, "Not all proxies have %s yet: %s: %s",
		count(len(all), "object"), first.Key, shortened(first.Message))
}

func (r *Reconciler) writeStatus(ms *v1alpha1.MeshSync, m *memory, o outcome) {
	status := &ms.Status
	if token, ok := meta.ReconcileAnnotationValue(ms.Annotations); ok {
		status.SetLastHandledReconcileRequest(token)
	}
	if o.verdict != retrying {
		status.ObservedGeneration = ms.Generation
	}
	if !o.unread {
		status.Held = o.held
		status.ErrorCount = int64(len(o.errors))
		status.Errors = firstTen(o.errors)
		status.Pending = o.pending[:min(len(o.pending), maxPending)]
	}
	if o.counts() {
		status.Services = int64(o.bundle.Services)
		status.Resources = int64(len(o.bundle.Resources))
		status.Refused = int64(len(refusals(o.plan)))
		status.LeftAlone = firstTen(left(o.plan))
		withdrawing := withdrawals(o.plan)
		status.WithdrawingCount = int64(len(withdrawing))
		status.Withdrawing = withdrawing[:min(len(withdrawing), maxWithdrawing)]
		status.UnusedNamespaces = firstTen(o.plan.UnusedNamespaces)
	}
	r.writeLastChange(ms, o)
	// Otherwise what the status says of earlier commits is all that there is to find out how things were.
	if (o.carriedOut || o.observes) && isKnown(o.bundle) {
		status.BasisRevision = o.bundle.Revision
		status.FrozenCount = int64(len(o.bundle.Frozen))
		status.Frozen = nil
		for _, f := range o.bundle.Frozen[:min(len(o.bundle.Frozen), maxFrozen)] {
			status.Frozen = append(status.Frozen, v1alpha1.FrozenService{Service: f.Service, Revision: f.Revision})
		}
	}
	if o.isApplied() {
		if status.LastAppliedRevision != o.bundle.Revision && m.fetched.snapshot.Rewound == "" {
			status.RewoundFrom = ""
		}
		status.LastAppliedRevision = o.bundle.Revision
	}
	r.writeHistory(ms, m, o)
}

// writeLastChange keeps the counts of the last run that changed something, so that they can still be read an hour later.
func (r *Reconciler) writeLastChange(ms *v1alpha1.MeshSync, o outcome) {
	change := o.wrote
	if o.observes {
		change = planned(o.plan)
	} else if !change.any() {
		return
	}
	ms.Status.Applied = int64(change.created + change.updated + change.claimed)
	ms.Status.Pruned = int64(change.deleted)
	ms.Status.Drifted = int64(len(change.drifted))
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
	ms.Status.History.Upsert(digest, r.now(), r.now().Sub(m.started), o.reason, map[string]string{"revision": revision})
}

func (r *Reconciler) writeMetrics(ms *v1alpha1.MeshSync, m *memory, o outcome) {
	namespace, name := ms.Namespace, ms.Name
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	r.metrics.reconciles.WithLabelValues(namespace, name, o.reason).Inc()
	r.metrics.ready.WithLabelValues(namespace, name).Set(truth(o.verdict == done))
	r.metrics.stalled.WithLabelValues(namespace, name).Set(truth(o.verdict == waiting))
	r.metrics.suspended.WithLabelValues(namespace, name).Set(0)
	if !o.unread {
		r.metrics.findings.WithLabelValues(namespace, name).Set(float64(o.broken))
		r.metrics.held.WithLabelValues(namespace, name).Set(truth(o.held != nil))
	}
	if o.counts() {
		r.metrics.services.WithLabelValues(namespace, name).Set(float64(o.bundle.Services))
		for state, n := range map[string]int{
			"desired": len(o.bundle.Resources), "unchanged": o.plan.Unchanged,
			"refused": len(refusals(o.plan)), "left": len(left(o.plan)), "withdrawing": len(o.plan.Withdrawals()),
		} {
			r.metrics.resources.WithLabelValues(namespace, name, state).Set(float64(n))
		}
	}
	for verb, n := range map[apply.Verb]int{apply.Create: o.wrote.created, apply.Update: o.wrote.updated, apply.Claim: o.wrote.claimed, apply.Delete: o.wrote.deleted} {
		r.metrics.written.WithLabelValues(namespace, name, string(verb)).Add(float64(n))
	}
	r.metrics.writeErrors.WithLabelValues(namespace, name).Add(float64(o.wrote.failed))
	r.metrics.drift.WithLabelValues(namespace, name).Add(float64(len(o.wrote.drifted)))
	r.metrics.fights.WithLabelValues(namespace, name).Set(float64(len(m.fights.Over(r.now()))))
	r.writeLag(ms, m, o)
}

func (r *Reconciler) writeLag(ms *v1alpha1.MeshSync, m *memory, o outcome) {
	key := client.ObjectKeyFromObject(ms)
	switch {
	case o.isApplied(), o.observes:
		m.aheadSince = time.Time{}
	case m.aheadSince.IsZero() && ms.Status.LastAttemptedRevision != ms.Status.LastAppliedRevision:
		m.aheadSince = r.now()
	}
	r.metrics.lag.set(key, m.aheadSince, true)
	if !o.isApplied() {
		return
	}
	r.metrics.frozen.WithLabelValues(key.Namespace, key.Name).Set(float64(len(o.bundle.Frozen)))
	r.metrics.lastApplied.WithLabelValues(key.Namespace, key.Name).Set(float64(r.now().Unix()))
	r.metrics.revision.DeletePartialMatch(map[string]string{"namespace": key.Namespace, "name": key.Name})
	r.metrics.revision.WithLabelValues(key.Namespace, key.Name, o.bundle.Cluster, o.bundle.Revision).Set(1)
}

// nextRun is how long to wait for it, if nothing wakes the reconciler before.
func (r *Reconciler) nextRun(ms *v1alpha1.MeshSync, m *memory, o outcome) time.Duration {
	now := r.now()
	wait := ms.Every()
	if o.reason != v1alpha1.ReasonAnotherMeshSync && !m.fetched.due.IsZero() {
		wait = m.fetched.due.Sub(now)
	}
	if o.verdict == retrying && m.retry.due.After(now) {
		wait = min(wait, m.retry.due.Sub(now))
	}
	if o.plan != nil {
		if due := o.plan.Due(); !due.IsZero() {
			wait = min(wait, due.Sub(now))
		}
	}
	if _, until := m.fights.Truces(now); !until.IsZero() {
		wait = min(wait, until.Sub(now))
	}
	// Zero would mean never.
	return max(wait, 10*time.Millisecond)
}

// emit posts an event where the outcome is another than the last one, and for every correction of drift.
func (r *Reconciler) emit(before, ms *v1alpha1.MeshSync, o outcome) {
	annotations := map[string]string{}
	// The group before the key is what Flux's notification-controller looks for.
	if revision := ms.Status.LastAttemptedRevision; revision != "" {
		annotations[v1alpha1.GroupVersion.Group+"/revision"] = revision
	}
	if len(o.wrote.drifted) > 0 {
		r.events.AnnotatedEventf(ms, annotations, corev1.EventTypeNormal, v1alpha1.ReasonDriftCorrected,
			"Put right %s that somebody had changed: %s", count(len(o.wrote.drifted), "object"), keys(o.wrote.drifted))
	}
	same := conditions.GetReason(before, meta.ReadyCondition) == o.reason && conditions.GetMessage(before, meta.ReadyCondition) == o.message
	if same {
		return
	}
	switch {
	case o.verdict == settling:
		r.events.AnnotatedEventf(ms, annotations, corev1.EventTypeNormal, o.reason, "%s", o.message)
	case o.verdict != done:
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
		would := planned(o.plan)
		log = log.WithValues("would_create", would.created, "would_update", would.updated, "would_claim", would.claimed,
			"would_delete", would.deleted)
		if !same {
			log = log.WithValues("pending", o.pending)
		}
	}
	switch {
	case o.verdict != done && o.verdict != settling && !same:
		log.Error(o.cause, o.message, "next", next.String())
	case o.observes && !same:
		log.Info(o.message, "next", next.String())
	case o.wrote.any() || !same:
		log.Info(o.message, "created", o.wrote.created, "updated", o.wrote.updated, "claimed", o.wrote.claimed,
			"deleted", o.wrote.deleted, "drifted", len(o.wrote.drifted), "next", next.String())
	default:
		log.V(1).Info(o.message, "next", next.String())
	}
}
