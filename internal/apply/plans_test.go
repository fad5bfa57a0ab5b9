package apply

import (
	"maps"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

var testOwner = Owner{ID: ApplySetID("mesh", "isthmus-system", "MeshSync", "isthmus.dev")}

// ourObjects are as the API server has them after we created them.
func ourObjects(objects ...*unstructured.Unstructured) View {
	var view View
	for _, object := range objects {
		live := create(object, testOwner.ID)
		live.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: FieldManager}})
		view.Objects = append(view.Objects, live)
	}
	return view
}

func verbs(plan Plan) map[string]Verb {
	out := map[string]Verb{}
	for _, action := range plan.Actions {
		out[action.Key.String()] = action.Verb
	}
	return out
}

// carried is the view after a plan was carried out without a failure, and what is known then.
func carried(t *testing.T, view View, plan Plan) (View, Record) {
	t.Helper()
	objects := map[render.Key]*unstructured.Unstructured{}
	for _, one := range view.Objects {
		objects[keyOf(one)] = one
	}
	known := maps.Clone(plan.known)
	for _, action := range plan.Actions {
		switch action.Verb {
		case Create:
			objects[action.Key] = create(action.desired, plan.owner)
		case Update:
			objects[action.Key] = update(action.desired, action.live, plan.owner)
		case Delete:
			delete(objects, action.Key)
			continue
		default:
			continue
		}
		objects[action.Key].SetManagedFields([]metav1.ManagedFieldsEntry{{
			Manager: FieldManager, FieldsV1: metav1.NewFieldsV1(text(map[string]any{"f:metadata": map[string]any{
				"f:labels": ownFields(action.desired.GetLabels()), "f:annotations": ownFields(action.desired.GetAnnotations()),
			}})),
		}})
		known[action.Key] = action.hash
	}
	return View{Objects: slices.Collect(maps.Values(objects))}, known
}

func ownFields(values map[string]string) map[string]any {
	out := map[string]any{}
	for name := range values {
		out["f:"+name] = map[string]any{}
	}
	return out
}

// lost is the reason in these tests.
const lost = "it may stem from service ledger, which is broken"
