package apply

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// PlanOptions are what a plan depends on besides the bundle and the cluster.
type PlanOptions struct {
	Owner Owner
	// Prune lets stale objects be deleted; without it they are held.
	Prune bool
	// MaxPrunePercent is the share of the owned objects above which deletions trip the brake, if there are
	// at least ten. 0 holds every such deletion.
	MaxPrunePercent int
	// Acknowledged are digests of brakes that a person lets pass on this cluster, besides those of the bundle.
	Acknowledged []string
	// Agreed is [Plan.Agreed] of the plan before; after a restart, AgreedRest says how much of it was ahead then.
	Agreed     Agreement
	AgreedRest int
	// Keep is why nothing may be taken away, for a person; "" if it may. With it a plan deletes nothing, and what it changes loses no host,
	// address, port, endpoint or subset, nobody whom it is exported to, and nobody whom it lets in; see [Make].
	Keep string
	// Timing keeps the order between clusters; the zero value keeps none.
	Timing Timing
	// Adopt lets the objects of [View].Adoptable be taken over; without it the plan tells what that would change.
	Adopt bool
	// Truces are objects that are not put right now though somebody changed them, with the reason; see [Fights].
	Truces map[render.Key]string
	// Known is [Result.Known] of the run before, nil after a restart.
	Known Record
	// Again says that all of this very bundle was in place when a process before this one ended: what differs from it, and is not known yet, was changed by somebody.
	Again bool

	// beside is what there is beside the part that a [Planner] looks at.
	beside beside
}

// beside counts what is equal in the bundle and the cluster and of no concern to a plan.
type beside struct{ owned, resources int }

// Make decides what must be written. It is pure: it changes neither the bundle nor the view, and the same
// arguments give the same plan.
//
// The bundle must be whole. After a render that failed or left something out there is no bundle, and no plan; where it is known what was left
// out, [PlanOptions].Keep says so. Then what is not in the bundle is held, before the brakes are judged, and so is a new object that takes something
// from others: a Sidecar, or the first AuthorizationPolicy of a workload. What is in the bundle is united with what the cluster has: all else of the commit is
// applied, and whatever may stem from what was left out stays. Of what somebody else added to an object nobody can tell that, so it
// stays as well. The first plan without Keep narrows as after any commit.
func Make(bundle *render.Bundle, view View, options PlanOptions) Plan {
	plan := Plan{owner: options.Owner.ID, known: Record{}, NamespaceLabels: bundle.NamespaceLabels, Owned: options.beside.owned, Unchanged: options.beside.resources}
	plan.Namespaces, plan.UnusedNamespaces = planNamespaces(bundle, view, options.Owner)

	live := make(map[render.Key]*unstructured.Unstructured, len(view.Objects))
	for _, object := range view.Objects {
		live[keyOf(object)] = object
		if whole := view.Adoptable[keyOf(object)]; whole != nil {
			live[keyOf(object)] = whole
		}
		if options.Owner.Possession(object) == Owned {
			plan.Owned++
		}
	}

	var actions []Action
	inBundle := make(sets.Set[render.Key], len(bundle.Resources))
	for _, resource := range bundle.Resources {
		inBundle.Insert(resource.Key)
		action := decideWanted(resource, live[resource.Key], view, options)
		if object := live[resource.Key]; object != nil && action.Verb != Refuse {
			if c, ok := complaint(object); ok {
				plan.Complaints = append(plan.Complaints, c)
			}
		}
		if known, ok := options.Known[resource.Key]; ok {
			// Kept until we know better, so that drift which could not be put right at once is still drift.
			plan.known[resource.Key] = known
		}
		if action.Verb == "" {
			plan.Unchanged++
			plan.known[resource.Key] = action.hash
			continue
		}
		action.Drift = action.writes() && (options.Known[resource.Key] == action.hash || changedMeanwhile(action, options))
		if reason, truce := options.Truces[resource.Key]; truce && action.Drift {
			action.Verb, action.Reason, action.Fields, action.Drift = Hold, reason, nil, false
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

	if options.Keep != "" {
		actions = withoutTaking(actions, live, bundle, options.Keep)
	}
	actions = holdRoutesBehindRefusals(holdBehindRefusals(actions), bundle)
	plan.Brake, plan.Passed, plan.Agreed = brake(bundle, live, plan.Owned, withoutWithdrawn(actions), options)
	actions, plan.Seen = settle(withdraw(actions, live, bundle, options), live, plan.Owned, options)
	plan.Actions = order(withEffects(actions, live, bundle))
	return plan
}

// decideWanted says what a resource of the bundle needs; an action without a verb is nothing.
func decideWanted(resource render.Resource, live *unstructured.Unstructured, view View, options PlanOptions) Action {
	action := Action{
		Key: resource.Key, Service: resource.Service, Side: resource.Side,
		live: live, hash: resource.Hash,
	}
	refuse := func(reason string) Action {
		action.Verb, action.Reason = Refuse, reason
		return action
	}

	if view.lacks(resource.Key.Kind) {
		return refuse(fmt.Sprintf("the cluster does not know the kind %s (%s); install the CRDs of Istio 1.30.4 or newer",
			resource.Key.Kind, resource.GVK.GroupVersion()))
	}
	if live == nil {
		if view.Namespaces[resource.Key.Namespace].Terminating {
			return refuse("namespace " + resource.Key.Namespace + " is being deleted; the object is made when the namespace is gone and new")
		}
		action.Verb, action.desired = Create, resource.Object()
		return action
	}

	possession := options.Owner.Possession(live)
	switch {
	case possession == Foreign && view.Adoptable[resource.Key] == nil:
		return refuse(foreignReason(live))
	case possession == Foreign && unadoptable(live) != "":
		return refuse(unadoptable(live))
	case optedOut(live, AnnotationReconcile):
		return refuse("a person wants it left alone: annotation " + AnnotationReconcile + " is " + disabled)
	case live.GetDeletionTimestamp() != nil:
		return refuse("it is being deleted and waits for " + finalizers(live) + "; it is made anew when it is gone")
	case possession == Foreign:
		return adopt(action, resource, options)
	}

	desired := resource.Object()
	action.desired = desired
	if options.Keep != "" {
		if action.desired = widen(desired, live); action.desired != desired {
			// Another hash, or narrowing it later would count as undoing somebody else's change.
			action.hash = digestOfObject(action.desired)
		}
	}
	action.Fields = differences(action.desired, live, options.Owner.ID)
	switch {
	case len(action.Fields) > 0:
		action.Verb = Update
	case !writtenByUs(live):
		// Only a label says that it is ours. Without the manager we could never prune it.
		action.Verb = Claim
	}
	return action
}

// changedMeanwhile tells whether an object that is looked at for the first time by this process was changed since the one before carried the bundle out. One
// that stays for a while differs from it anyhow.
func changedMeanwhile(action Action, options PlanOptions) bool {
	if _, known := options.Known[action.Key]; known || !options.Again || options.Keep != "" || action.Adopts || action.Verb == Claim {
		return false
	}
	return action.live == nil || action.live.GetAnnotations()[AnnotationWithdrawn] == ""
}

// decideStale says what becomes of a live object that is not in the bundle.
func decideStale(key render.Key, live *unstructured.Unstructured, options PlanOptions) Action {
	labels := live.GetLabels()
	action := Action{
		Key: key, Service: labels[render.LabelService], Side: render.Side(labels[render.LabelSide]), live: live,
	}
	tell := func(verb Verb, reason string) Action {
		action.Verb, action.Reason = verb, reason
		return action
	}

	switch options.Owner.Possession(live) {
	case Foreign:
		return Action{}
	case Copy:
		return tell(Report, "it carries the label "+LabelPartOf+" of this MeshSync, but Isthmus did not write it and the repository does not have it; "+
			"it is left alone: take the label off if it is meant to stay, delete it if not")
	case Unlabelled:
		return tell(Report, "Isthmus wrote it, somebody took the label "+LabelPartOf+" off or changed it, and the repository does not have it any more; "+
			"it is left alone: delete it if it is not needed")
	}
	switch {
	case live.GetDeletionTimestamp() != nil:
		return tell(Hold, "it is being deleted and waits for "+finalizers(live))
	case optedOut(live, AnnotationReconcile):
		return tell(Hold, "a person wants it left alone: annotation "+AnnotationReconcile+" is "+disabled)
	case optedOut(live, AnnotationPrune):
		return tell(Hold, "a person wants it kept: annotation "+AnnotationPrune+" is "+disabled)
	case !options.Prune:
		return tell(Hold, "pruning is switched off: spec.prune.enabled of the MeshSync is false")
	case options.Keep != "":
		return tell(Hold, options.Keep)
	}
	return tell(Delete, "")
}

func foreignReason(live *unstructured.Unstructured) string {
	if partOf := live.GetLabels()[LabelPartOf]; partOf != "" {
		return "it belongs to another MeshSync or ApplySet (" + partOf + ") and is not taken over; rename the service, or delete it there"
	}
	return "an object of that name exists that Isthmus did not write, and it is left alone; " + adviceForeign
}

func finalizers(live *unstructured.Unstructured) string {
	names := live.GetFinalizers()
	if len(names) == 0 {
		return "its grace period"
	}
	return "finalizer " + strings.Join(names, ", ")
}
