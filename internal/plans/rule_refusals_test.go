package plans_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func versioned(versions ...string) *unstructured.Unstructured {
	rule := istiotest.DestinationRule("shop", "cart")
	var subsets []any
	for _, version := range versions {
		subsets = append(subsets, map[string]any{"name": version, "labels": map[string]any{"version": version}})
	}
	rule.Object["spec"].(map[string]any)["subsets"] = subsets
	return rule
}

func leadingTo(version string) *unstructured.Unstructured {
	route := istiotest.VirtualService("shop", "cart", "5s")
	destination := map[string]any{"host": "cart.shop.example.com"}
	if version != "" {
		destination["subset"] = version
	}
	route.Object["spec"].(map[string]any)["http"] = []any{map[string]any{"route": []any{map[string]any{"destination": destination}}}}
	return route
}

func TestRouteToAVersionOfARefusedRuleIsSkipped(t *testing.T) {
	type objects = []*unstructured.Unstructured
	optedOut := istiotest.WithAnnotations(versioned("v1"), map[string]string{ownership.AnnotationReconcile: ownership.Disabled})
	// The cache has only the key of foreign objects.
	foreign := func(view clustercache.State) clustercache.State {
		rule := &unstructured.Unstructured{}
		rule.SetGroupVersionKind(view.Objects[0].GroupVersionKind())
		rule.SetNamespace("shop")
		rule.SetName("cart")
		view.Objects[0] = rule
		return view
	}
	drifted := leadingTo("v1")
	drifted.Object["spec"].(map[string]any)["exportTo"] = []any{"*"}
	tests := map[string]struct {
		reason string
		view   clustercache.State
		bundle objects
		known  objects
		want   map[string]plans.Verb
	}{
		"a new version": {
			"the rule that stays lacks it", plantest.LiveState(optedOut, leadingTo("v1")),
			objects{versioned("v1", "v2"), leadingTo("v2")},
			nil,
			map[string]plans.Verb{"DestinationRule/shop/cart": plans.Refuse, "VirtualService/shop/cart": plans.Skip},
		},
		"an old version": {
			"the rule that stays has it", plantest.LiveState(optedOut, leadingTo("v1")),
			objects{versioned("v1", "v2"), leadingTo("")},
			nil,
			map[string]plans.Verb{"DestinationRule/shop/cart": plans.Refuse, "VirtualService/shop/cart": plans.Update},
		},
		"the first route": {
			"it leads nowhere as well", plantest.LiveState(optedOut),
			objects{versioned("v1", "v2"), leadingTo("v2")},
			nil,
			map[string]plans.Verb{"DestinationRule/shop/cart": plans.Refuse, "VirtualService/shop/cart": plans.Skip},
		},
		"somebody else's rule": {
			"nobody knows what it has", foreign(plantest.LiveState(versioned("v1"), leadingTo(""))),
			objects{versioned("v1"), leadingTo("v1")},
			nil,
			map[string]plans.Verb{"DestinationRule/shop/cart": plans.Refuse, "VirtualService/shop/cart": plans.Skip},
		},
		"no version": {
			"it needs no rule", foreign(plantest.LiveState(versioned("v1"))),
			objects{versioned("v1"), leadingTo("")},
			nil,
			map[string]plans.Verb{"DestinationRule/shop/cart": plans.Refuse, "VirtualService/shop/cart": plans.Create},
		},
		"drift": {
			"it led there before", plantest.LiveState(optedOut, drifted),
			objects{versioned("v1", "v2"), leadingTo("v2")},
			objects{leadingTo("v2")},
			map[string]plans.Verb{"DestinationRule/shop/cart": plans.Refuse, "VirtualService/shop/cart": plans.Update},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options, memory := plans.Options{Owner: plantest.Owner, Prune: true}, plans.Memory{}
			if test.known != nil {
				memory.Known = plans.Make(istiotest.Bundle(test.known...), plantest.LiveState(test.known...), options).Known
			}
			plan := memory.Make(istiotest.Bundle(test.bundle...), test.view, options)
			if diff := cmp.Diff(test.want, plantest.Verbs(plan)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			for _, action := range plan.Actions {
				if action.Verb == plans.Skip && !strings.Contains(action.Reason.String(), "DestinationRule/shop/cart") {
					t.Errorf("it does not say what it waits for: %s", action.Reason)
				}
			}
		})
	}
}
