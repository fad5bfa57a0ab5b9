// Package plantest builds inputs of plans for tests, and applies plans in memory.
package plantest

import (
	"maps"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Owner is the MeshSync that owns all objects of these tests.
var Owner = ownership.Owner{ID: ownership.ApplySetID("mesh", "isthmus-system", "MeshSync", "isthmus.dev")}

// LiveState returns a cluster with these objects, as after Isthmus created them.
func LiveState(objects ...*unstructured.Unstructured) clustercache.State {
	var view clustercache.State
	for _, object := range objects {
		live := merge.CreateBody(object, Owner.ID)
		live.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: ownership.FieldManager}})
		view.Objects = append(view.Objects, live)
	}
	return view
}

// Verbs returns the verb of each action of a plan, by key.
func Verbs(plan plans.Plan) map[string]plans.Verb {
	out := map[string]plans.Verb{}
	for _, action := range plan.Actions {
		out[action.Key.String()] = action.Verb
	}
	return out
}

// AfterApply returns the cluster and the record of known objects after a plan without a failed write.
func AfterApply(t *testing.T, view clustercache.State, plan plans.Plan) (clustercache.State, plans.Record) {
	t.Helper()
	objects := map[render.Key]*unstructured.Unstructured{}
	for _, object := range view.Objects {
		objects[render.KeyOf(object)] = object
	}
	known := maps.Clone(plan.Known)
	for _, action := range plan.Actions {
		switch action.Verb {
		case plans.Create:
			objects[action.Key] = merge.CreateBody(action.Desired, plan.Owner)
		case plans.Update:
			objects[action.Key] = merge.UpdateBody(action.Desired, action.Live, plan.Owner)
		case plans.Delete:
			delete(objects, action.Key)
			continue
		default:
			continue
		}
		objects[action.Key].SetManagedFields([]metav1.ManagedFieldsEntry{{
			Manager: ownership.FieldManager, FieldsV1: metav1.NewFieldsV1(nested.JSON(map[string]any{"f:metadata": map[string]any{
				"f:labels": ownFields(action.Desired.GetLabels()), "f:annotations": ownFields(action.Desired.GetAnnotations()),
			}})),
		}})
		known[action.Key] = action.Hash
	}
	return clustercache.State{Objects: slices.Collect(maps.Values(objects))}, known
}

func ownFields(values map[string]string) map[string]any {
	out := map[string]any{}
	for name := range values {
		out["f:"+name] = map[string]any{}
	}
	return out
}

// Unknown is a value for [plans.Options.AdditiveOnly].
var Unknown = &plans.UnknownServices{Services: "ledger", Cause: "its last known good manifest is unknown"}
