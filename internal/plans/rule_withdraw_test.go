package plans_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// exported gives an object the side of the publisher, so that other clusters may depend on it.
func exported(object *unstructured.Unstructured) *unstructured.Unstructured {
	return istiotest.WithLabels(object, map[string]string{render.LabelSide: string(render.SidePublish)})
}

func TestExportedObjectsAreWithdrawnBeforeTheyAreDeleted(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const after = time.Hour
	entry := exported(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"))
	policy := istiotest.AuthorizationPolicy("cart", "cart", "ALLOW", "web")
	gateway := func(mode string) *unstructured.Unstructured {
		return exported(istiotest.Object("Gateway", "shop", "cart", "cart", map[string]any{
			"servers": []any{map[string]any{"hosts": []any{"cart.shop.example.com"}, "tls": map[string]any{"mode": mode}}},
		}))
	}
	edit := func(o *unstructured.Unstructured) {
		nested.Map(nested.List(istiotest.Spec(o), "endpoints")[0])["address"] = "192.0.2.66"
	}
	tests := map[string]struct {
		reason string
		before []*unstructured.Unstructured
		bundle []*unstructured.Unstructured
		change func(*plans.Options)
		// edit changes the live object between the first plan and the second.
		edit func(*unstructured.Unstructured)
		// first is the plan when the objects left the bundle, later the one after elapsed.
		first   map[string]plans.Verb
		elapsed time.Duration
		later   map[string]plans.Verb
	}{
		"until the time is over": {
			"other clusters have read the commit after withdrawAfter",
			[]*unstructured.Unstructured{entry},
			nil, nil, nil,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update},
			after,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Delete},
		},
		"before the time is over": {
			"the annotation is written once",
			[]*unstructured.Unstructured{entry},
			nil, nil, nil,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update},
			after - time.Second,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Withdraw},
		},
		"edited meanwhile": {
			"an endpoint that a user added is not kept",
			[]*unstructured.Unstructured{entry},
			nil, nil, edit,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update},
			time.Minute,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Delete},
		},
		"back in the repository": {
			"the update removes the annotation",
			[]*unstructured.Unstructured{entry},
			[]*unstructured.Unstructured{entry},
			nil, nil,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update},
			time.Minute,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update},
		},
		"with its policy": {
			"without a policy every caller would be allowed",
			[]*unstructured.Unstructured{entry, policy},
			nil, nil, nil,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update, "AuthorizationPolicy/shop/cart": plans.Update},
			after,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Delete, "AuthorizationPolicy/shop/cart": plans.Delete},
		},
		"a policy without an export": {
			"revoked access does not wait",
			[]*unstructured.Unstructured{policy},
			nil, nil, nil,
			map[string]plans.Verb{"AuthorizationPolicy/shop/cart": plans.Delete},
			0, nil,
		},
		"not exported": {
			"only callers of this cluster use it",
			[]*unstructured.Unstructured{istiotest.ServiceEntry("shop", "cart", "192.0.2.1")},
			nil, nil, nil,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Delete},
			0, nil,
		},
		"the east-west gateway": {
			"other clusters enter through it",
			[]*unstructured.Unstructured{gateway("AUTO_PASSTHROUGH")},
			nil, nil, nil,
			map[string]plans.Verb{"Gateway/shop/cart": plans.Update},
			after,
			map[string]plans.Verb{"Gateway/shop/cart": plans.Delete},
		},
		"a public gateway": {
			"its clients are outside the mesh, and public hosts end at once",
			[]*unstructured.Unstructured{gateway("SIMPLE")},
			nil, nil, nil,
			map[string]plans.Verb{"Gateway/shop/cart": plans.Delete},
			0, nil,
		},
		"spec.withdrawAfter is 0": {
			"the rule is disabled",
			[]*unstructured.Unstructured{entry},
			nil, func(o *plans.Options) { o.Timing.WithdrawAfter = 0 }, nil,
			map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Delete},
			0, nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 100, Timing: plans.Timing{Now: start, WithdrawAfter: after}}
			// Something else stays in the bundle, so that the guard against empty bundles does not hold the plan.
			rest := istiotest.DestinationRule("shop", "x")
			built := plans.Make(istiotest.Bundle(append(test.before, rest)...), clustercache.State{}, options)
			view, _ := plantest.AfterApply(t, clustercache.State{}, built)
			if test.change != nil {
				test.change(&options)
			}
			plan := plans.Make(istiotest.Bundle(rest), view, options)
			if diff := cmp.Diff(test.first, plantest.Verbs(plan)); diff != "" {
				t.Fatalf("%s: first plan (-want +got):\n%s", test.reason, diff)
			}
			for _, action := range plan.Withdrawals() {
				if !action.Until.Equal(start.Add(after)) || action.Desired.GetAnnotations()[ownership.AnnotationWithdrawn] == "" {
					t.Errorf("%s: %s stays until %s with the annotations %v", test.reason, action.Key, action.Until, action.Desired.GetAnnotations())
				}
			}
			if test.later == nil {
				return
			}
			view, _ = plantest.AfterApply(t, view, plan)
			for _, object := range view.Objects {
				if test.edit != nil && object.GetName() == "cart" {
					test.edit(object)
				}
			}
			options.Timing.Now = start.Add(test.elapsed)
			plan = plans.Make(istiotest.Bundle(append(test.bundle, rest)...), view, options)
			if diff := cmp.Diff(test.later, plantest.Verbs(plan)); diff != "" {
				t.Errorf("%s: after %s (-want +got):\n%s", test.reason, test.elapsed, diff)
			}
		})
	}
}
