package plans_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestOnlyCorrectionsOfAFightAreDelayed(t *testing.T) {
	before, after := istiotest.VirtualService("shop", "cart", "5s"), istiotest.VirtualService("shop", "cart", "9s")
	other := istiotest.VirtualService("shop", "stock", "5s")
	tests := map[string]struct {
		reason string
		fights *unstructured.Unstructured
		bundle *unstructured.Unstructured
		want   plans.Verb
	}{
		"a correction":                     {"the other writer would change it again at once", before, before, plans.Skip},
		"a new commit":                     {"a change of the repository is not a correction", before, after, plans.Update},
		"a correction, another object":     {"only the object of the fight waits", other, before, plans.Update},
		"a correction, no fight is active": {"drift is corrected at once", nil, before, plans.Update},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := plans.Options{Owner: plantest.Owner, Prune: true}
			view := plantest.LiveState(before)
			memory := plans.Memory{Known: plans.Make(istiotest.Bundle(before), view, options).Known}
			backoff := plans.FightBackoff{Manager: "argocd", Corrections: 7}
			if test.fights != nil {
				memory.Backoffs = map[render.Key]plans.FightBackoff{render.KeyOf(test.fights): backoff}
			}
			istiotest.Spec(view.Objects[0])["exportTo"] = []any{"*"}
			plan := memory.Make(istiotest.Bundle(test.bundle), view, options)
			got := onlyAction(t, plan)
			if got.Verb != test.want {
				t.Fatalf("%s: got %q, want %q", test.reason, got.Verb, test.want)
			}
			if test.want == plans.Skip && (got.Reason != backoff || plan.Drifted() != 0) {
				t.Errorf("%s: reason %v, %d corrections", test.reason, got.Reason, plan.Drifted())
			}
		})
	}
}
