package plans

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// PlanOptions are what a plan depends on besides the bundle and the cluster.
type Options struct {
	Owner ownership.Owner
	// Prune lets stale objects be deleted; without it they are held.
	Prune bool
	// MaxPrunePercent is the share of the owned objects above which deletions trip the brake, if there are
	// at least ten. 0 holds every such deletion.
	MaxPrunePercent int
	// Acknowledged are digests of brakes that a person lets pass on this cluster, besides those of the bundle.
	AcknowledgedDigests []string
	// Agreed is [Plan.Agreed] of the plan before; after a restart, AgreedRest says how much of it was ahead then.
	Acknowledged          Acknowledgements
	RemainingAcknowledged int
	// Keep is why nothing may be taken away, for a person; "" if it may. With it a plan deletes nothing, and what it changes loses no host,
	// address, port, endpoint or subset, nobody whom it is exported to, and nobody whom it lets in; see [Make].
	AdditiveOnly string
	// Timing keeps the order between clusters; the zero value keeps none.
	Timing Timing
	// Adopt lets the objects of [View].Adoptable be taken over; without it the plan tells what that would change.
	Adopt bool
	// Truces are objects that are not put right now though somebody changed them, with the reason; see [Fights].
	Backoffs map[render.Key]string
	// Known is [Result.Known] of the run before, nil after a restart.
	Known Record
	// Again says that all of this very bundle was in place when a process before this one ended: what differs from it, and is not known yet, was changed by somebody.
	WasInSync bool

	// beside is what there is beside the part that a [Planner] looks at.
	rest restCounts
}

// beside counts what is equal in the bundle and the cluster and of no concern to a plan.
type restCounts struct{ owned, resources int }

// Make decides what must be written. It is pure: it changes neither the bundle nor the view, and the same
// arguments give the same plan.
//
// The bundle must be whole. After a render that failed or left something out there is no bundle, and no plan; where it is known what was left
// out, [PlanOptions].Keep says so. Then what is not in the bundle is held, before the brakes are judged, and so is a new object that takes something
// from others: a Sidecar, or the first AuthorizationPolicy of a workload. What is in the bundle is united with what the cluster has: all else of the commit is
// applied, and whatever may stem from what was left out stays. Of what somebody else added to an object nobody can tell that, so it
// stays as well. The first plan without Keep narrows as after any commit.
func Make(bundle *render.Bundle, view clustercache.State, options Options) Plan {
	plan := Plan{Owner: options.Owner.ID, Known: Record{}, NamespaceLabels: bundle.NamespaceLabels, Owned: options.rest.owned, Unchanged: options.rest.resources}
	plan.Namespaces, plan.UnusedNamespaces = planNamespaces(bundle, view, options.Owner)

	live := make(map[render.Key]*unstructured.Unstructured, len(view.Objects))
	for _, object := range view.Objects {
		live[render.KeyOf(object)] = object
		if whole := view.Adoptable[render.KeyOf(object)]; whole != nil {
			live[render.KeyOf(object)] = whole
		}
		if options.Owner.Ownership(object) == ownership.Owned {
			plan.Owned++
		}
	}

	var actions []Action
	inBundle := make(sets.Set[render.Key], len(bundle.Resources))
	for _, resource := range bundle.Resources {
		inBundle.Insert(resource.Key)
		action := decideDesired(resource, live[resource.Key], view, options)
		if object := live[resource.Key]; object != nil && action.Verb != Refuse {
			if c, ok := clustercache.StatusProblemOf(object); ok {
				plan.StatusProblems = append(plan.StatusProblems, c)
			}
		}
		if known, ok := options.Known[resource.Key]; ok {
			// Kept until we know better, so that drift which could not be put right at once is still drift.
			plan.Known[resource.Key] = known
		}
		if action.Verb == "" {
			plan.Unchanged++
			plan.Known[resource.Key] = action.Hash
			continue
		}
		action.Drift = action.Writes() && (options.Known[resource.Key] == action.Hash || isDrift(action, options))
		if reason, truce := options.Backoffs[resource.Key]; truce && action.Drift {
			action.Verb, action.Reason, action.Fields, action.Drift = Skip, reason, nil, false
		}
		actions = append(actions, action)
	}
	for key, object := range live {
		if inBundle.Has(key) {
			continue
		}
		if action := decideStale(key, object, options); action.Verb != "" {
			actions = append(actions, action)
		}
	}

	if options.AdditiveOnly != "" {
		actions = skipSubtractive(actions, live, bundle, options.AdditiveOnly)
	}
	actions = skipRoutesBehindRefusals(keepBehindRefusals(actions), bundle)
	plan.Guard, plan.Overridden, plan.Acknowledged = applyGuards(bundle, live, plan.Owned, withoutExpiredWithdrawals(actions), options)
	actions, plan.FirstNeeded = deferRouting(withdrawExports(actions, live, bundle, options), live, plan.Owned, options)
	plan.Actions = SortActions(addEffects(actions, live, bundle))
	return plan
}

// decideWanted says what a resource of the bundle needs; an action without a verb is nothing.
func decideDesired(resource render.Resource, live *unstructured.Unstructured, view clustercache.State, options Options) Action {
	action := Action{
		Key: resource.Key, Service: resource.Service, Side: resource.Side,
		Live: live, Hash: resource.Hash,
	}
	refuse := func(reason string) Action {
		action.Verb, action.Reason = Refuse, reason
		return action
	}

	if view.Lacks(resource.Key.Kind) {
		return refuse(fmt.Sprintf("the cluster does not know the kind %s (%s); install the CRDs of Istio 1.30.4 or newer",
			resource.Key.Kind, resource.GVK.GroupVersion()))
	}
	if live == nil {
		if view.Namespaces[resource.Key.Namespace].Terminating {
			return refuse("namespace " + resource.Key.Namespace + " is being deleted; the object is made when the namespace is gone and new")
		}
		action.Verb, action.Desired = Create, resource.Object()
		return action
	}

	possession := options.Owner.Ownership(live)
	switch {
	case possession == ownership.Foreign && view.Adoptable[resource.Key] == nil:
		return refuse(foreignReason(live))
	case possession == ownership.Foreign && adoptionBlockedBy(live) != "":
		return refuse(adoptionBlockedBy(live))
	case ownership.OptedOut(live, ownership.AnnotationReconcile):
		return refuse("a person wants it left alone: annotation " + ownership.AnnotationReconcile + " is " + ownership.Disabled)
	case live.GetDeletionTimestamp() != nil:
		return refuse("it is being deleted and waits for " + finalizers(live) + "; it is made anew when it is gone")
	case possession == ownership.Foreign:
		return adopt(action, resource, options)
	}

	desired := resource.Object()
	action.Desired = desired
	if options.AdditiveOnly != "" {
		if action.Desired = merge.Union(desired, live); action.Desired != desired {
			// Another hash, or narrowing it later would count as undoing somebody else's change.
			action.Hash = digestOfObject(action.Desired)
		}
	}
	action.Fields = merge.Differences(action.Desired, live, options.Owner.ID)
	switch {
	case len(action.Fields) > 0:
		action.Verb = Update
	case !ownership.ManagedByUs(live):
		// Only a label says that it is ours. Without the manager we could never prune it.
		action.Verb = Claim
	}
	return action
}

// changedMeanwhile tells whether an object that is looked at for the first time by this process was changed since the one before carried the bundle out. One
// that stays for a while differs from it anyhow.
func isDrift(action Action, options Options) bool {
	if _, known := options.Known[action.Key]; known || !options.WasInSync || options.AdditiveOnly != "" || action.Adopts || action.Verb == Claim {
		return false
	}
	return action.Live == nil || action.Live.GetAnnotations()[ownership.AnnotationWithdrawn] == ""
}

// decideStale says what becomes of a live object that is not in the bundle.
func decideStale(key render.Key, live *unstructured.Unstructured, options Options) Action {
	labels := live.GetLabels()
	action := Action{
		Key: key, Service: labels[render.LabelService], Side: render.Side(labels[render.LabelSide]), Live: live,
	}
	tell := func(verb Verb, reason string) Action {
		action.Verb, action.Reason = verb, reason
		return action
	}

	switch options.Owner.Ownership(live) {
	case ownership.Foreign:
		return Action{}
	case ownership.LabelOnly:
		return tell(Report, "it carries the label "+ownership.LabelPartOf+" of this MeshSync, but Isthmus did not write it and the repository does not have it; "+
			"it is left alone: take the label off if it is meant to stay, delete it if not")
	case ownership.ManagerOnly:
		return tell(Report, "Isthmus wrote it, somebody took the label "+ownership.LabelPartOf+" off or changed it, and the repository does not have it any more; "+
			"it is left alone: delete it if it is not needed")
	}
	switch {
	case live.GetDeletionTimestamp() != nil:
		return tell(Skip, "it is being deleted and waits for "+finalizers(live))
	case ownership.OptedOut(live, ownership.AnnotationReconcile):
		return tell(Skip, "a person wants it left alone: annotation "+ownership.AnnotationReconcile+" is "+ownership.Disabled)
	case ownership.OptedOut(live, ownership.AnnotationPrune):
		return tell(Skip, "a person wants it kept: annotation "+ownership.AnnotationPrune+" is "+ownership.Disabled)
	case !options.Prune:
		return tell(Skip, "pruning is switched off: spec.prune.enabled of the MeshSync is false")
	case options.AdditiveOnly != "":
		return tell(Skip, options.AdditiveOnly)
	}
	return tell(Delete, "")
}

func foreignReason(live *unstructured.Unstructured) string {
	if partOf := live.GetLabels()[ownership.LabelPartOf]; partOf != "" {
		return "it belongs to another MeshSync or ApplySet (" + partOf + ") and is not taken over; rename the service, or delete it there"
	}
	return "an object of that name exists that Isthmus did not write, and it is left alone; " + ForeignAdvice
}

func finalizers(live *unstructured.Unstructured) string {
	names := live.GetFinalizers()
	if len(names) == 0 {
		return "its grace period"
	}
	return "finalizer " + strings.Join(names, ", ")
}
