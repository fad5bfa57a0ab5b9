package plans

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// planBundle decides what each resource of the bundle needs.
func planBundle(d *Draft) {
	for _, resource := range d.Bundle.Resources {
		live := d.Live[resource.Key]
		action := d.desired(resource, live)
		if live != nil && action.Verb != Refuse {
			if problem, ok := clustercache.StatusProblemOf(live); ok {
				d.Plan.StatusProblems = append(d.Plan.StatusProblems, problem)
			}
		}
		if known, ok := d.Memory.Known[resource.Key]; ok {
			// Kept until more is known: drift that could not be corrected at once is still drift.
			d.Plan.Known[resource.Key] = known
		}
		if action.Verb == "" {
			d.Plan.Unchanged++
			d.Plan.Known[resource.Key] = action.Hash
			continue
		}
		action.Drift = action.Writes() && (d.Memory.Known[resource.Key] == action.Hash || d.changedBeforeStart(action))
		d.Plan.Actions = append(d.Plan.Actions, action)
	}
}

// desired decides what a resource of the bundle needs; an action without a verb is nothing.
func (d *Draft) desired(resource render.Resource, live *unstructured.Unstructured) Action {
	action := Action{
		Key: resource.Key, Service: resource.Service, Side: resource.Side,
		Live: live, Hash: resource.Hash,
	}
	refuse := func(reason Reason) Action {
		action.Verb, action.Reason = Refuse, reason
		return action
	}

	if d.State.Lacks(resource.Key.Kind) {
		return refuse(MissingKind{Kind: resource.Key.Kind, GroupVersion: resource.GVK.GroupVersion().String()})
	}
	if live == nil {
		if d.State.Namespaces[resource.Key.Namespace].Terminating {
			return refuse(TerminatingNamespace{Namespace: resource.Key.Namespace})
		}
		action.Verb, action.Desired = Create, resource.Object()
		return action
	}

	foreign := d.Options.Owner.Ownership(live) == ownership.Foreign
	if foreign && d.State.Adoptable[resource.Key] == nil {
		return refuse(foreignObject(live))
	}
	if blocked := adoptionBlockedBy(live); foreign && blocked != nil {
		return refuse(blocked)
	}
	switch {
	case ownership.OptedOut(live, ownership.AnnotationReconcile):
		return refuse(OptedOut{Annotation: ownership.AnnotationReconcile})
	case live.GetDeletionTimestamp() != nil:
		return refuse(beingDeleted(live, true))
	}

	action.Desired = resource.Object()
	if d.Options.AdditiveOnly != nil {
		if union := merge.Union(action.Desired, live); union != action.Desired {
			// It needs its own hash: otherwise the later removal would count as a correction of drift.
			action.Desired, action.Hash = union, digestOfObject(union)
		}
	}
	action.Fields = merge.Differences(action.Desired, live, d.Options.Owner.ID)
	switch {
	case foreign:
		return d.adopt(action)
	case len(action.Fields) > 0:
		action.Verb = Update
	case !ownership.ManagedByUs(live):
		// Only the label marks it as ours. Without the field manager it could never be pruned.
		action.Verb = Claim
	}
	return action
}

// changedBeforeStart tells whether an object that this process sees for the first time was changed
// after the process before it had applied the bundle. An object that is being withdrawn always
// differs from the bundle.
func (d *Draft) changedBeforeStart(action Action) bool {
	_, known := d.Memory.Known[action.Key]
	if known || !d.Options.WasInSync || d.Options.AdditiveOnly != nil || action.Adopts || action.Verb == Claim {
		return false
	}
	return action.Live == nil || action.Live.GetAnnotations()[ownership.AnnotationWithdrawn] == ""
}
