package meshsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// conclusion says who must act next.
type conclusion int

const (
	// succeeded: the cluster is in sync with the repository or, in mode Observe, was compared with
	// it.
	succeeded conclusion = iota
	// retrying: the next run may succeed; no user must act.
	retrying
	// deferring: all is written except routing to endpoints that other clusters must publish first.
	deferring
	// stalled: a user must act, in Git or in this cluster. Git is still fetched in every interval.
	stalled
)

// outcome is the result of one run.
type outcome struct {
	conclusion conclusion
	// reason and message are those of the condition Ready. The message says what is unchanged and
	// what to do.
	reason, message string
	// cause is for the log only.
	cause error
	// bundle and plan are those of the commit, nil if the run ended before they were made.
	bundle *render.Bundle
	plan   *plans.Plan
	// problems are the preflight problems; checked is set if the preflight checks ran.
	problems []preflight.Problem
	checked  bool
	// wrote counts the writes of this run, for any bundle.
	wrote writeCounts
	// errors is the content of status.errors.
	errors []v1alpha1.SyncError
	// brokenCount is the number of errors in the commit itself.
	brokenCount int
	held        *v1alpha1.Held
	// pending are planned writes that were not made: in mode Observe, or because the plan is held.
	pending []v1alpha1.Pending
	// lostRace marks a conflict with another writer. The retry usually succeeds, so no alarm is
	// raised.
	lostRace bool
	// carriedOut: the plan was executed, fully or partly.
	carriedOut bool
	// notBegun: no write of the plan was attempted.
	notBegun bool
	// observeOnly: nothing was written, because spec.mode is Observe.
	observeOnly bool
	// saysNothing: the outcome says nothing about the commit, so the status keeps the last results.
	saysNothing bool
}

// counts reports whether the outcome has counts of resources. A plan that was not begun has none.
func (o outcome) counts() bool { return o.bundle != nil && o.plan != nil && !o.notBegun }

const untouched = "Everything applied before is unchanged."

func failedInternally(doing string, err error) outcome {
	return outcome{conclusion: retrying, reason: v1alpha1.ReasonInternal, message: fmt.Sprintf("%s: %v", doing, err), cause: err, saysNothing: true}
}

func anotherMeshSync(ms, active *v1alpha1.MeshSync) outcome {
	return outcome{
		conclusion: stalled, reason: v1alpha1.ReasonAnotherMeshSync, saysNothing: true,
		message: fmt.Sprintf("MeshSync %s/%s is older and manages this cluster; only one MeshSync can. %s", active.Namespace, active.Name, syncrun.InheritanceNote(ms)),
	}
}

// fetchFailed classifies errors of the fetch and of Secrets.
func fetchFailed(err error) outcome {
	o := outcome{conclusion: retrying, reason: string(source.ReasonFor(err)), cause: err, saysNothing: true}
	var secret *secretError
	if errors.As(err, &secret) {
		o.reason = v1alpha1.ReasonSourceInvalid
	}
	switch o.reason {
	case v1alpha1.ReasonSourceInvalid, v1alpha1.ReasonContentRefused:
		o.conclusion = stalled
	}
	var findings manifest.Findings
	if errors.As(err, &findings) {
		o.saysNothing = false
		o.errors, o.brokenCount = syncErrors(findings), len(findings)
	}
	// If there are findings, the error lists them after its first line.
	summary, _, listed := strings.Cut(err.Error(), "\n")
	if listed && len(findings) > 0 {
		summary += " " + first(findings)
	}
	o.message = text.Sentence(summary) + " " + untouched
	return o
}

// refusedCommit is the revision of a commit that was fetched and rejected, empty if there is none.
func refusedCommit(err error) (revision, rewound string) {
	var e *source.Error
	if !errors.As(err, &e) {
		return "", ""
	}
	return e.Revision, e.RewrittenFrom
}

// renderFailed classifies errors of evaluate, mesh and render.
func renderFailed(snapshot *source.Snapshot, err error) outcome {
	var findings manifest.Findings
	switch {
	case errors.As(err, &findings):
		return outcome{
			conclusion: stalled, reason: v1alpha1.ReasonInvalidContent, cause: err,
			errors: syncErrors(findings), brokenCount: len(findings),
			message: fmt.Sprintf("Revision %s is not applied, because it has %s: %s %s",
				text.Short(snapshot.Revision), text.Count(len(findings), "error"), text.Sentence(first(findings)), untouched),
		}
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{
			conclusion: retrying, reason: v1alpha1.ReasonTimeout, cause: err, saysNothing: true,
			message: fmt.Sprintf("Revision %s could not be evaluated within spec.timeout. Raise spec.timeout if this repeats. %s", text.Short(snapshot.Revision), untouched),
		}
	default:
		return outcome{
			conclusion: retrying, reason: v1alpha1.ReasonEvaluationFailed, cause: err, saysNothing: true,
			message: fmt.Sprintf("Revision %s could not be evaluated: %s %s", text.Short(snapshot.Revision), text.Sentence(err.Error()), untouched),
		}
	}
}

func unknownCluster(ms *v1alpha1.MeshSync, snapshot *source.Snapshot, err error) outcome {
	return outcome{
		conclusion: stalled, reason: v1alpha1.ReasonUnknownCluster, cause: err,
		message: fmt.Sprintf("Cluster %q is not in the inventory of revision %s. Add the cluster to the inventory or correct spec.cluster. Nothing is touched.",
			ms.Spec.Cluster, text.Short(snapshot.Revision)),
	}
}

func wrongCluster(bundle *render.Bundle, uid string) outcome {
	return outcome{
		conclusion: stalled, reason: v1alpha1.ReasonWrongCluster, bundle: bundle,
		message: fmt.Sprintf("This is another cluster: in the inventory of revision %s, cluster %q has the uid %s, but the kube-system namespace here has the uid %s. "+
			"Correct spec.cluster or the uid in the inventory. Nothing is touched.",
			text.Short(bundle.Revision), bundle.Cluster, bundle.UID, uid),
	}
}

func planFailed(bundle *render.Bundle, err error) outcome {
	o := outcome{
		conclusion: retrying, reason: v1alpha1.ReasonApplyFailed, bundle: bundle, cause: err,
		message: fmt.Sprintf("Revision %s could not be compared with this cluster: %s %s", text.Short(bundle.Revision), text.Sentence(err.Error()), untouched),
	}
	var unavailable *syncrun.UnavailableError
	if errors.As(err, &unavailable) {
		o.reason = v1alpha1.ReasonKindUnavailable
		o.message = fmt.Sprintf("Revision %s is not applied: %s Nothing was written. The controller continues when the cause is fixed.",
			text.Short(bundle.Revision), text.Sentence(err.Error()))
	}
	return o
}

// held is the outcome of a plan that a guard holds until a user acknowledges it.
func held(ms *v1alpha1.MeshSync, bundle *render.Bundle, plan *plans.Plan) outcome {
	digest, todo := plan.Guard.Digest, pending(plan)
	return outcome{
		conclusion: stalled, reason: plan.Guard.Kind, bundle: bundle, plan: plan,
		pending: todo, notBegun: true,
		errors: syncErrors(bundle.Findings), brokenCount: len(bundle.Findings),
		held: &v1alpha1.Held{Kind: plan.Guard.Kind, Digest: digest, Revision: bundle.Revision, Reason: plan.Guard.Reason},
		message: fmt.Sprintf("Revision %s is held: %s %s %s Otherwise revert the commit. %s",
			text.Short(bundle.Revision), text.Sentence(plan.Guard.Reason), untouched, syncrun.HowToAcknowledge(ms, digest), whereListed(todo)),
	}
}

func observed(bundle *render.Bundle, plan *plans.Plan) outcome {
	todo, refused := pending(plan), syncrun.Refusals(plan)
	var counts []string
	var details string
	if len(todo) > 0 {
		counts = append(counts, countPlanned(plan).toDo())
		details = fmt.Sprintf(" Nothing is written, because spec.mode is Observe. Mode Apply would: %s.", firstPending(todo))
	}
	if len(refused) > 0 {
		counts = append(counts, fmt.Sprintf("%d refused", len(refused)))
		details += " Refused: " + text.Sentence(firstRefused(refused))
	}
	if len(counts) == 0 {
		counts = append(counts, "nothing to change")
	}
	o := outcome{
		conclusion: succeeded, reason: v1alpha1.ReasonObserved, observeOnly: true, bundle: bundle, plan: plan, pending: todo,
		errors: append(refused, syncErrors(bundle.Findings)...), brokenCount: len(bundle.Findings),
		message: fmt.Sprintf("Observed %s: %s.%s", text.Short(bundle.Revision), strings.Join(counts, ", "), details),
	}
	if len(bundle.Findings) > 0 {
		o.conclusion, o.reason = stalled, v1alpha1.ReasonServicesFrozen
		o.message += fmt.Sprintf(" Errors in this revision: %s %s", text.Sentence(first(bundle.Findings)), frozenMessage(bundle))
	}
	return o
}

// applied is the outcome of a plan that was executed, fully or partly.
func applied(bundle *render.Bundle, plan *plans.Plan, result execute.Result, err error) outcome {
	o := outcome{bundle: bundle, plan: plan, wrote: countWrites(result), cause: err, errors: failures(result), carriedOut: true}
	refused := syncrun.Refusals(plan)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		o.conclusion, o.reason = retrying, v1alpha1.ReasonTimeout
		o.message = fmt.Sprintf("Revision %s was only partly applied within spec.timeout. The next run continues. Raise spec.timeout if this repeats.", text.Short(bundle.Revision))
	case err != nil:
		o.conclusion, o.reason, o.lostRace = retrying, v1alpha1.ReasonApplyFailed, isLostRace(err)
		o.message = fmt.Sprintf("Revision %s was only partly applied, so nothing was deleted. The controller tries again: %s", text.Short(bundle.Revision), text.Sentence(firstOf(err)))
	case len(refused) > 0:
		o.conclusion, o.reason, o.errors = stalled, v1alpha1.ReasonRefused, refused
		o.message = fmt.Sprintf("Revision %s is applied, except for %s: %s", text.Short(bundle.Revision), text.Count(len(refused), "resource"), text.Sentence(firstRefused(refused)))
	case len(plan.Deferrals()) > 0:
		deferred := plan.Deferrals()
		o.conclusion, o.reason = deferring, v1alpha1.ReasonRoutingDeferred
		o.message = fmt.Sprintf("Revision %s is applied, except for %s. They wait until %s, so that other clusters can publish the endpoints first. The first is %s.",
			text.Short(bundle.Revision), text.Count(len(deferred), "object"), plan.Due().UTC().Format(time.RFC3339), deferred[0].Key)
	case len(bundle.Findings) > 0:
		o.conclusion, o.reason = stalled, v1alpha1.ReasonServicesFrozen
		o.message = fmt.Sprintf("Revision %s is applied, except for services with errors: %s %s",
			text.Short(bundle.Revision), text.Sentence(first(bundle.Findings)), frozenMessage(bundle))
	default:
		o.conclusion, o.reason = succeeded, meta.ReconciliationSucceededReason
		o.message = "Applied revision: " + text.Short(bundle.Revision)
	}
	if len(bundle.Findings) > 0 {
		o.errors = append(o.errors, syncErrors(bundle.Findings)...)
		o.brokenCount = len(bundle.Findings)
	}
	return o
}

// frozenMessage says how the broken services are handled.
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
		words = append(words, fmt.Sprintf("Meanwhile nothing is deleted or narrowed, because it may belong to %s: %s", text.Few(bundle.Lost), text.Sentence(syncrun.LostReason(bundle))))
	}
	if len(kept) > 0 {
		words = append(words, fmt.Sprintf("Frozen at the last known good manifest: %s.", text.Few(kept)))
	}
	if len(leftOut) > 0 {
		words = append(words, fmt.Sprintf("Left out, because there is no last known good manifest: %s.", text.Few(leftOut)))
	}
	if len(words) == 0 {
		words = append(words, "The broken services were never in this cluster and are left out.")
	}
	return strings.Join(append(words, "Fix the errors or revert the commit."), " ")
}

// isApplied reports whether the commit is applied, apart from frozen services.
func (o outcome) isApplied() bool {
	return !o.observeOnly && (o.conclusion == succeeded && o.reason == meta.ReconciliationSucceededReason || o.reason == v1alpha1.ReasonServicesFrozen)
}

// inPlace reports whether the cluster is in sync with the commit, apart from frozen services and
// skipped objects: the commit is applied, or mode Observe found nothing to write.
func (o outcome) inPlace() bool {
	return o.isApplied() || o.observeOnly && len(o.pending) == 0 && len(syncrun.Refusals(o.plan)) == 0
}
