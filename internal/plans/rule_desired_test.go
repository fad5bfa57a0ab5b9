package plans_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// onlyAction returns the action of a plan for one object; the zero value if there is none.
func onlyAction(t *testing.T, plan plans.Plan) plans.Action {
	t.Helper()
	if len(plan.Actions) > 1 {
		t.Fatalf("want at most one action, got %v", plantest.Verbs(plan))
	}
	if len(plan.Actions) == 0 {
		return plans.Action{}
	}
	return plan.Actions[0]
}

func TestActionForEachResourceOfTheBundle(t *testing.T) {
	desired := istiotest.DestinationRule("shop", "cart")
	key := render.KeyOf(desired)
	live := func(changes ...func(*unstructured.Unstructured)) clustercache.State {
		view := plantest.LiveState(desired)
		for _, change := range changes {
			change(view.Objects[0])
		}
		return view
	}
	edited := func(o *unstructured.Unstructured) { istiotest.Spec(o)["exportTo"] = []any{"*"} }
	foreign := func(o *unstructured.Unstructured) {
		o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl"}})
		o.SetLabels(nil)
	}
	ofAnother := func(o *unstructured.Unstructured) {
		o.SetManagedFields(nil)
		o.SetLabels(map[string]string{ownership.LabelPartOf: "applyset-other"})
	}
	controlled := func(o *unstructured.Unstructured) {
		foreign(o)
		yes := true
		o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "Rollout", Name: "cart", Controller: &yes}})
	}
	optedOut := func(o *unstructured.Unstructured) {
		o.SetAnnotations(map[string]string{ownership.AnnotationReconcile: ownership.Disabled})
	}
	deleting := func(o *unstructured.Unstructured) {
		now := metav1.Now()
		o.SetDeletionTimestamp(&now)
		o.SetFinalizers([]string{"example.com/wait"})
	}
	labelOnly := func(o *unstructured.Unstructured) { o.SetManagedFields(nil) }
	adoptable := func(view clustercache.State) clustercache.State {
		view.Adoptable = map[render.Key]*unstructured.Unstructured{key: view.Objects[0]}
		return view
	}
	terminating := clustercache.State{Namespaces: map[string]clustercache.Namespace{"shop": {Terminating: true}}}
	noKind := clustercache.State{}
	for _, kind := range istio.Kinds {
		if kind.Kind == key.Kind {
			noKind.Missing = append(noKind.Missing, kind)
		}
	}

	tests := map[string]struct {
		reason string
		view   clustercache.State
		adopt  bool
		verb   plans.Verb
		adopts bool
		why    plans.Reason
	}{
		"absent":                    {"it is created", clustercache.State{}, false, plans.Create, false, nil},
		"equal":                     {"nothing is written", live(), false, "", false, nil},
		"spec differs":              {"it is written as in the bundle", live(edited), false, plans.Update, false, nil},
		"only our label":            {"without the field manager it could not be pruned later", live(labelOnly), false, plans.Claim, false, nil},
		"kind is missing":           {"the CRD is not installed", noKind, false, plans.Refuse, false, plans.MissingKind{Kind: "DestinationRule", GroupVersion: "networking.istio.io/v1"}},
		"namespace is deleted":      {"a terminating namespace takes no new objects", terminating, false, plans.Refuse, false, plans.TerminatingNamespace{Namespace: "shop"}},
		"foreign":                   {"a user wrote it", live(foreign), true, plans.Refuse, false, plans.ForeignObject{}},
		"of another ApplySet":       {"the reason names the owner", live(ofAnother), true, plans.Refuse, false, plans.ForeignObject{PartOf: "applyset-other"}},
		"adoptable, observed":       {"spec.adopt.mode is Observe", adoptable(live(foreign, edited)), false, plans.Refuse, true, plans.AdoptionObserved{}},
		"adoptable":                 {"spec.adopt.mode is Apply", adoptable(live(foreign, edited)), true, plans.Update, true, nil},
		"adoptable, controlled":     {"its controller would revert the write", adoptable(live(controlled)), true, plans.Refuse, false, plans.ControlledObject{Kind: "Rollout", Name: "cart"}},
		"adoptable, other ApplySet": {"its owner would write it again", adoptable(live(ofAnother)), true, plans.Refuse, false, plans.NotAdoptable{Object: plans.ForeignObject{PartOf: "applyset-other"}}},
		"opted out":                 {"a user set reconcile: disabled", live(edited, optedOut), false, plans.Refuse, false, plans.OptedOut{Annotation: ownership.AnnotationReconcile}},
		"being deleted":             {"it is created again later", live(deleting), false, plans.Refuse, false, plans.BeingDeleted{Finalizers: "example.com/wait", Recreate: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := plans.Options{Owner: plantest.Owner, Prune: true, Adopt: test.adopt}
			plan := plans.Make(istiotest.Bundle(desired), test.view, options)
			got := onlyAction(t, plan)
			if got.Verb != test.verb || got.Adopts != test.adopts {
				t.Errorf("%s: got %q (adopts %t), want %q (adopts %t)", test.reason, got.Verb, got.Adopts, test.verb, test.adopts)
			}
			if diff := cmp.Diff(test.why, got.Reason); diff != "" {
				t.Errorf("%s: reason (-want +got):\n%s", test.reason, diff)
			}
			if unchanged := test.verb == ""; unchanged != (plan.Unchanged == 1) {
				t.Errorf("%s: %d resources are unchanged", test.reason, plan.Unchanged)
			}
		})
	}
}
