package plans

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// Writing returns copies of the object of an action before and after it is written, without the
// fields that the API server fills in; nil if there is none. For a Defer it is the later write,
// for a Refuse that Adopts the write that adoption would make. Otherwise, without a write, both
// are equal.
func (p Plan) Writing(a Action) (before, after *unstructured.Unstructured) {
	before = withoutServerFields(a.Live)
	switch {
	case a.Verb == Claim:
		after = withoutServerFields(a.Live)
		labels := after.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[ownership.LabelPartOf] = p.Owner
		after.SetLabels(labels)
		return before, after
	case a.AdoptionTarget != nil:
		return before, withoutServerFields(merge.UpdateBody(a.AdoptionTarget, a.Live, p.Owner))
	case !a.Writes() && a.Verb != Defer:
		return before, withoutServerFields(a.Live)
	case a.Desired == nil:
		return before, nil
	case a.Live == nil:
		return nil, withoutServerFields(merge.CreateBody(a.Desired, p.Owner))
	}
	return before, withoutServerFields(merge.UpdateBody(a.Desired, a.Live, p.Owner))
}

// withoutServerFields is a copy of an object without the fields that no user writes.
func withoutServerFields(object *unstructured.Unstructured) *unstructured.Unstructured {
	if object == nil {
		return nil
	}
	out := object.DeepCopy()
	delete(out.Object, "status")
	all, _ := out.Object["metadata"].(map[string]any)
	metadata := map[string]any{}
	for _, field := range []string{"name", "namespace", "labels", "annotations"} {
		if values, isMap := all[field].(map[string]any); all[field] != nil && (!isMap || len(values) > 0) {
			metadata[field] = all[field]
		}
	}
	out.Object["metadata"] = metadata
	return out
}
