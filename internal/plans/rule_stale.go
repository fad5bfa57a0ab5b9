package plans

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// planStale decides what becomes of each live object that is not in the bundle.
func planStale(d *Draft) {
	inBundle := make(sets.Set[render.Key], len(d.Bundle.Resources))
	for _, resource := range d.Bundle.Resources {
		inBundle.Insert(resource.Key)
	}
	for key, object := range d.Live {
		if inBundle.Has(key) {
			continue
		}
		if action := stale(key, object, d.Options); action.Verb != "" {
			d.Plan.Actions = append(d.Plan.Actions, action)
		}
	}
}

// stale decides about one object; an action without a verb is nothing.
func stale(key render.Key, live *unstructured.Unstructured, options Options) Action {
	labels := live.GetLabels()
	action := Action{
		Key: key, Service: labels[render.LabelService], Side: render.Side(labels[render.LabelSide]), Live: live,
	}
	as := func(verb Verb, reason Reason) Action {
		action.Verb, action.Reason = verb, reason
		return action
	}
	switch options.Owner.Ownership(live) {
	case ownership.Foreign:
		return Action{}
	case ownership.LabelOnly:
		return as(Report, LabelOnlyObject{})
	case ownership.ManagerOnly:
		return as(Report, LabelRemoved{})
	case ownership.Owned:
	}
	switch {
	case live.GetDeletionTimestamp() != nil:
		return as(Skip, beingDeleted(live, false))
	case ownership.OptedOut(live, ownership.AnnotationReconcile):
		return as(Skip, OptedOut{Annotation: ownership.AnnotationReconcile})
	case ownership.OptedOut(live, ownership.AnnotationPrune):
		return as(Skip, OptedOut{Annotation: ownership.AnnotationPrune})
	case !options.Prune:
		return as(Skip, PruneDisabled{})
	case options.AdditiveOnly != nil:
		return as(Skip, *options.AdditiveOnly)
	}
	return as(Delete, nil)
}
