package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func versioned(versions ...string) *unstructured.Unstructured {
	rule := rule("shop", "cart")
	var subsets []any
	for _, version := range versions {
		subsets = append(subsets, map[string]any{"name": version, "labels": map[string]any{"version": version}})
	}
	rule.Object["spec"].(map[string]any)["subsets"] = subsets
	return rule
}

func leadingTo(version string) *unstructured.Unstructured {
	route := route("shop", "cart", "5s")
	destination := map[string]any{"host": "cart.shop.example.com"}
	if version != "" {
		destination["subset"] = version
	}
	route.Object["spec"].(map[string]any)["http"] = []any{map[string]any{"route": []any{map[string]any{"destination": destination}}}}
	return route
}

func TestNoRouteLeadsToAVersionThatARefusedRuleLacks(t *testing.T) {
	type objects = []*unstructured.Unstructured
	optedOut := annotated(versioned("v1"), map[string]string{AnnotationReconcile: disabled})
	// Of somebody else's objects only the key is watched.
	foreign := func(view View) View {
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
		view   View
		bundle objects
		known  objects
		want   map[string]Verb
	}{
		"a new version": {
			"the rule that stays lacks it", ourObjects(optedOut, leadingTo("v1")),
			objects{versioned("v1", "v2"), leadingTo("v2")},
			nil,
			map[string]Verb{"DestinationRule/shop/cart": Refuse, "VirtualService/shop/cart": Hold},
		},
		"an old version": {
			"the rule that stays has it", ourObjects(optedOut, leadingTo("v1")),
			objects{versioned("v1", "v2"), leadingTo("")},
			nil,
			map[string]Verb{"DestinationRule/shop/cart": Refuse, "VirtualService/shop/cart": Update},
		},
		"the first route": {
			"it leads nowhere as well", ourObjects(optedOut),
			objects{versioned("v1", "v2"), leadingTo("v2")},
			nil,
			map[string]Verb{"DestinationRule/shop/cart": Refuse, "VirtualService/shop/cart": Hold},
		},
		"somebody else's rule": {
			"nobody knows what it has", foreign(ourObjects(versioned("v1"), leadingTo(""))),
			objects{versioned("v1"), leadingTo("v1")},
			nil,
			map[string]Verb{"DestinationRule/shop/cart": Refuse, "VirtualService/shop/cart": Hold},
		},
		"no version": {
			"it needs no rule", foreign(ourObjects(versioned("v1"))),
			objects{versioned("v1"), leadingTo("")},
			nil,
			map[string]Verb{"DestinationRule/shop/cart": Refuse, "VirtualService/shop/cart": Create},
		},
		"drift": {
			"it led there before", ourObjects(optedOut, drifted),
			objects{versioned("v1", "v2"), leadingTo("v2")},
			objects{leadingTo("v2")},
			map[string]Verb{"DestinationRule/shop/cart": Refuse, "VirtualService/shop/cart": Update},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := PlanOptions{Owner: testOwner, Prune: true}
			if test.known != nil {
				options.Known = Make(bundleOf(test.known...), ourObjects(test.known...), options).known
			}
			plan := Make(bundleOf(test.bundle...), test.view, options)
			if diff := cmp.Diff(test.want, verbs(plan)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			for _, action := range plan.Actions {
				if action.Verb == Hold && !strings.Contains(action.Reason, "DestinationRule/shop/cart") {
					t.Errorf("it does not say what it waits for: %s", action.Reason)
				}
			}
		})
	}
}
