package plans_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestActionForEachObjectThatIsNotInTheBundle(t *testing.T) {
	annotated := func(annotation string) func(*unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) {
			o.SetAnnotations(map[string]string{annotation: ownership.Disabled})
		}
	}
	unmanaged := func(o *unstructured.Unstructured) { o.SetManagedFields(nil) }
	unlabelled := func(o *unstructured.Unstructured) { o.SetLabels(nil) }
	deleting := func(o *unstructured.Unstructured) {
		now := metav1.Now()
		o.SetDeletionTimestamp(&now)
		o.SetFinalizers([]string{"example.com/wait"})
	}
	prune := func(*plans.Options) {}
	noPrune := func(o *plans.Options) { o.Prune = false }
	tests := map[string]struct {
		reason  string
		live    []func(*unstructured.Unstructured)
		options func(*plans.Options)
		verb    plans.Verb
		why     plans.Reason
	}{
		"both marks":          {"Isthmus wrote it and nothing forbids the deletion", nil, prune, plans.Delete, nil},
		"no mark":             {"a foreign object is never deleted", []func(*unstructured.Unstructured){unmanaged, unlabelled}, prune, "", nil},
		"only the label":      {"a user may have copied it", []func(*unstructured.Unstructured){unmanaged}, prune, plans.Report, plans.LabelOnlyObject{}},
		"only the manager":    {"a user removed the label", []func(*unstructured.Unstructured){unlabelled}, prune, plans.Report, plans.LabelRemoved{}},
		"being deleted":       {"a second DELETE has no effect", []func(*unstructured.Unstructured){deleting}, prune, plans.Skip, plans.BeingDeleted{Finalizers: "example.com/wait"}},
		"reconcile: disabled": {"a user opted out", []func(*unstructured.Unstructured){annotated(ownership.AnnotationReconcile)}, prune, plans.Skip, plans.OptedOut{Annotation: ownership.AnnotationReconcile}},
		"prune: disabled":     {"a user keeps it", []func(*unstructured.Unstructured){annotated(ownership.AnnotationPrune)}, prune, plans.Skip, plans.OptedOut{Annotation: ownership.AnnotationPrune}},
		"no pruning":          {"spec.prune.enabled is false", nil, noPrune, plans.Skip, plans.PruneDisabled{}},
		"unknown services":    {"it may belong to a broken service", nil, func(o *plans.Options) { o.AdditiveOnly = plantest.Unknown }, plans.Skip, *plantest.Unknown},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			view := plantest.LiveState(istiotest.DestinationRule("shop", "cart"))
			for _, change := range test.live {
				change(view.Objects[0])
			}
			options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 100}
			test.options(&options)
			got := onlyAction(t, plans.Make(istiotest.Bundle(), view, options))
			if got.Verb != test.verb {
				t.Errorf("%s: got %q, want %q", test.reason, got.Verb, test.verb)
			}
			if diff := cmp.Diff(test.why, got.Reason); diff != "" {
				t.Errorf("%s: reason (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}
