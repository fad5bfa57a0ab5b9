package apply

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Writing returns how the object of an action is before and after it is written, without what the API server fills in, nil where there is none. Both are copies. Of a Wait it is
// the write that comes then, of a Refuse that adopts the one that it would be; what else is not written is the same before and after.
func (p Plan) Writing(a Action) (before, after *unstructured.Unstructured) {
	before = toRead(a.live)
	switch {
	case a.Verb == Claim:
		after = toRead(a.live)
		labels := after.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[LabelPartOf] = p.owner
		after.SetLabels(labels)
		return before, after
	case a.adopted != nil:
		return before, toRead(update(a.adopted, a.live, p.owner))
	case !a.writes() && a.Verb != Wait:
		return before, toRead(a.live)
	case a.desired == nil:
		return before, nil
	case a.live == nil:
		return nil, toRead(create(a.desired, p.owner))
	}
	return before, toRead(update(a.desired, a.live, p.owner))
}

// toRead is a copy of an object without what nobody writes.
func toRead(object *unstructured.Unstructured) *unstructured.Unstructured {
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
