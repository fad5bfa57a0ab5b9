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

// verdict says who has the next move.
type conclusion int

const (
	// done: the cluster is as the repository says, or, in mode Observe, is known.
	succeeded conclusion = iota
	// retrying: it may work the next time, nobody has to do anything.
	retrying
	// settling: all is done but what other clusters have to offer first.
	deferring
	// waiting: a person has to act, in Git or on this cluster. Git is still looked at in every interval.
	stalled
)

// outcome is how one run ended.
type outcome struct {
	conclusion conclusion
	// reason and message are those of the Ready condition. The message says what was left untouched and what to do.
	reason, message string
	// cause is for the log only.
	cause error
	// bundle and plan are of the commit that was looked at, nil where it did not get so far.
	bundle *render.Bundle
	plan   *plans.Plan
	// problems are the respects in which the cluster is not as the repository takes it to be; checked is set if that was looked at.
	problems []preflight.Problem
	checked  bool
	// wrote is what was written, by this run, whichever bundle it was for.
	wrote writeCounts
	// errors are what status.errors lists.
	errors []v1alpha1.SyncError
	// broken counts the errors that stand in the commit itself.
	brokenCount int
	held        *v1alpha1.Held
	// pending are the writes that were planned and not made: in mode Observe, and of what is held.
	pending []v1alpha1.Pending
	// fleeting marks a race that was lost to somebody else and is usually won at once: not worth an alarm.
	lostRace bool
	// carriedOut: the plan was, whole or in part.
	carriedOut bool
	// unapplied: the plan was not begun.
	notBegun bool
	// observes: nothing was written, since spec.mode is Observe.
	observeOnly bool
	// unread marks an outcome that says nothing about the commit, so that what the status says of the last one stays.
	saysNothing bool
}

// counts reports whether the outcome tells how many resources of each sort there are. One that is not begun does not.
func (o outcome) counts() bool { return o.bundle != nil && o.plan != nil && !o.notBegun }

const untouched = "Everything applied before is unchanged."

func failedInternally(doing string, err error) outcome {
	return outcome{conclusion: retrying, reason: v1alpha1.ReasonInternal, message: fmt.Sprintf("%s: %v", doing, err), cause: err, saysNothing: true}
}

func anotherMeshSync(ms, rival *v1alpha1.MeshSync) outcome {
	return outcome{
		conclusion: stalled, reason: v1alpha1.ReasonAnotherMeshSync, saysNothing: true,
		message: fmt.Sprintf("MeshSync %s/%s is older and manages this cluster; only one MeshSync can. %s", rival.Namespace, rival.Name, syncrun.InheritanceNote(ms)),
	}
}

// fetchFailed classifies what source and the Secrets say.
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
	// Where there are findings, the error lists all of them after its first line.
	what, _, listed := strings.Cut(err.Error(), "\n")
	if listed && len(findings) > 0 {
		what += " " + first(findings)
	}
	o.message = text.Sentence(what) + " " + untouched
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

// braked is a plan that loses more than it may without a person's agreement.
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
	var what string
	if len(todo) > 0 {
		counts = append(counts, countPlanned(plan).toDo())
		what = fmt.Sprintf(" Nothing is written, because spec.mode is Observe. Mode Apply would: %s.", firstPending(todo))
	}
	if len(refused) > 0 {
		counts = append(counts, fmt.Sprintf("%d refused", len(refused)))
		what += " Refused: " + text.Sentence(firstRefused(refused))
	}
	if len(counts) == 0 {
		counts = append(counts, "nothing to change")
	}
	o := outcome{
		conclusion: succeeded, reason: v1alpha1.ReasonObserved, observeOnly: true, bundle: bundle, plan: plan, pending: todo,
		errors: append(refused, syncErrors(bundle.Findings)...), brokenCount: len(bundle.Findings),
		message: fmt.Sprintf("Observed %s: %s.%s", text.Short(bundle.Revision), strings.Join(counts, ", "), what),
	}
	if len(bundle.Findings) > 0 {
		o.conclusion, o.reason = stalled, v1alpha1.ReasonServicesFrozen
		o.message += fmt.Sprintf(" Errors in this revision: %s %s", text.Sentence(first(bundle.Findings)), frozenMessage(bundle))
	}
	return o
}

// applied is a plan that was carried out, whole or in part.
func applied(bundle *render.Bundle, plan *plans.Plan, result execute.Result, err error) outcome {
	o := outcome{bundle: bundle, plan: plan, wrote: countWrites(result), cause: err, errors: failures(result), carriedOut: true}
	refused := syncrun.Refusals(plan)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		o.conclusion, o.reason = retrying, v1alpha1.ReasonTimeout
		o.message = fmt.Sprintf("Revision %s was only partly applied within spec.timeout. The next run continues. Raise spec.timeout if this repeats.", text.Short(bundle.Revision))
	case err != nil:
		o.conclusion, o.reason, o.lostRace = retrying, v1alpha1.ReasonApplyFailed, conflicts(err)
		o.message = fmt.Sprintf("Revision %s was only partly applied, so nothing was deleted. The controller tries again: %s", text.Short(bundle.Revision), text.Sentence(firstOf(err)))
	case len(refused) > 0:
		o.conclusion, o.reason, o.errors = stalled, v1alpha1.ReasonRefused, refused
		o.message = fmt.Sprintf("Revision %s is applied, except for %s: %s", text.Short(bundle.Revision), text.Count(len(refused), "resource"), text.Sentence(firstRefused(refused)))
	case len(plan.Deferrals()) > 0:
		waits := plan.Deferrals()
		o.conclusion, o.reason = deferring, v1alpha1.ReasonRoutingDeferred
		o.message = fmt.Sprintf("Revision %s is applied, except for %s. They wait until %s, so that other clusters can publish the endpoints first. The first is %s.",
			text.Short(bundle.Revision), text.Count(len(waits), "object"), plan.Due().UTC().Format(time.RFC3339), waits[0].Key)
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

// isApplied tells whether the outcome has a commit applied, frozen services aside.
func (o outcome) isApplied() bool {
	return !o.observeOnly && (o.conclusion == succeeded && o.reason == meta.ReconciliationSucceededReason || o.reason == v1alpha1.ReasonServicesFrozen)
}

// inPlace tells whether the cluster has the commit, frozen services and what is left alone aside: since it is applied, or since there was nothing to
// write when it was only observed.
func (o outcome) inPlace() bool {
	return o.isApplied() || o.observeOnly && len(o.pending) == 0 && len(syncrun.Refusals(o.plan)) == 0
}
