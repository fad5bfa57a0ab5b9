package apply

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

func keeping() PlanOptions {
	return PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20, Keep: lost}
}

func TestNothingIsDeletedWhileSomethingIsNotKnown(t *testing.T) {
	view := ourObjects(append(rules(30), entry("shop", "cart", "192.0.2.1"), annotated(entry("shop", "stock", "192.0.2.1"), map[string]string{AnnotationPrune: disabled}))...)
	for name, bundle := range map[string]*render.Bundle{"all": bundleOf(), "nearly all": bundleOf(rule("shop", "s001"))} {
		t.Run(name, func(t *testing.T) {
			bundle.Calls = []render.Call{{Caller: "web", Callee: "cart"}}
			plan := Make(bundle, view, keeping())
			if plan.Writes() || plan.Brake != nil {
				t.Errorf("brake %v, actions %v", plan.Brake, verbs(plan))
			}
			if want := 32 - len(bundle.Resources); plan.Count(Hold) != want || plan.Unchanged != len(bundle.Resources) {
				t.Errorf("%d held and %d unchanged", plan.Count(Hold), plan.Unchanged)
			}
			for _, action := range plan.Actions {
				if asked := action.Key.Name == "stock"; asked == (action.Reason == lost) {
					t.Errorf("%s is held since %s", action.Key, action.Reason)
				}
			}
		})
	}
}

func TestWhoLosesAnEndpointByAChangeDoesNotWhileSomethingIsNotKnown(t *testing.T) {
	nowhere := entry("shop", "cart")
	nowhere = labelled(nowhere, map[string]string{render.LabelNoEndpoint: "true"})
	delete(specOf(nowhere), "endpoints")
	specOf(nowhere)["workloadSelector"] = map[string]any{"labels": map[string]any{render.LabelNoEndpoint: "true"}}
	bundle := bundleOf(nowhere)
	bundle.Calls = []render.Call{{Caller: "web", Callee: "cart"}}
	options := keeping()
	if plan := Make(bundle, ourObjects(entry("shop", "cart", "192.0.2.1")), options); plan.Brake != nil || len(plan.Actions) > 0 || plan.Unchanged != 1 {
		t.Errorf("brake %v, actions %v, unchanged %d", plan.Brake, verbs(plan), plan.Unchanged)
	}
	options.Keep = ""
	if plan := Make(bundle, ourObjects(entry("shop", "cart", "192.0.2.1")), options); plan.Brake == nil {
		t.Error("without anything to keep it is not even held")
	}
}

func TestNewObjectsThatNarrowAreHeld(t *testing.T) {
	dry := func(policy *unstructured.Unstructured) *unstructured.Unstructured {
		return annotated(policy, map[string]string{annotationDryRun: "true"})
	}
	everywhere := policy("cart", "everywhere", "ALLOW", "a")
	delete(specOf(everywhere), "selector")
	other := policy("cart", "other", "ALLOW", "a")
	other.SetNamespace("pay")
	going := ourObjects(policy("cart", "old", "ALLOW", "a"))
	now := metav1.Now()
	going.Objects[0].SetDeletionTimestamp(&now)
	fresh := policy("cart", "cart", "ALLOW", "b")

	tests := map[string]struct {
		reason string
		fresh  *unstructured.Unstructured
		view   View
		beside []*unstructured.Unstructured
		want   Verb
	}{
		"the first policy":                      {"it lets in those whom it names, and nobody else", fresh, View{}, nil, Hold},
		"beside another":                        {"who is let in is still let in", fresh, ourObjects(policy("cart", "old", "ALLOW", "a")), nil, Create},
		"beside one for the whole namespace":    {"so is everybody", fresh, ourObjects(everywhere), nil, Create},
		"beside one of another workload":        {"it was open", fresh, ourObjects(policy("stock", "old", "ALLOW", "a")), nil, Hold},
		"beside one of another namespace":       {"it was open", fresh, ourObjects(other), nil, Hold},
		"beside one that denies":                {"everybody else was let in", fresh, ourObjects(policy("cart", "old", "DENY", "a")), nil, Hold},
		"beside one that is only tried":         {"everybody was let in", fresh, ourObjects(dry(policy("cart", "old", "ALLOW", "a"))), nil, Hold},
		"beside one that is only tried by then": {"those whom it lets in would lose it", fresh, ourObjects(policy("cart", "old", "ALLOW", "a")), []*unstructured.Unstructured{dry(policy("cart", "old", "ALLOW", "a"))}, Hold},
		"beside one that is for others by then": {"so would they", fresh, ourObjects(everywhere), []*unstructured.Unstructured{policy("stock", "everywhere", "ALLOW", "a")}, Hold},
		"beside one that goes":                  {"it is gone soon", fresh, going, nil, Hold},
		"beside a foreign one":                  {"what it says is not known", fresh, View{Objects: []*unstructured.Unstructured{stripForeign(everywhere)}}, nil, Hold},
		"only tried":                            {"it keeps nobody out", dry(fresh), View{}, nil, Create},
		"an audit":                              {"so does that", policy("cart", "cart", "AUDIT", "b"), View{}, nil, Create},
		"one that denies":                       {"it keeps out", policy("cart", "cart", "DENY", "b"), ourObjects(policy("cart", "old", "ALLOW", "a")), nil, Hold},
		"a Sidecar":                             {"proxies are told of nothing else then", object("Sidecar", "shop", "cart", "cart", map[string]any{"egress": []any{map[string]any{"hosts": []any{"shop/*"}}}}), View{}, nil, Hold},
		"an entry":                              {"it only adds", entry("shop", "cart", "192.0.2.1"), View{}, nil, Create},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bundle := bundleOf(append(test.beside, test.fresh)...)
			plan := Make(bundle, test.view, keeping())
			at := slices.IndexFunc(plan.Actions, func(action Action) bool { return action.Key == keyOf(test.fresh) })
			if at < 0 || plan.Actions[at].Verb != test.want || test.want == Hold && plan.Actions[at].Reason != lost {
				t.Errorf("%s: %v", test.reason, verbs(plan))
			}
			options := keeping()
			options.Keep = ""
			if verb := verbs(Make(bundle, test.view, options))[keyOf(test.fresh).String()]; verb != Create {
				t.Errorf("without anything to keep: %s", verb)
			}
		})
	}
}

func TestKeepingIsNoDriftAndHasNoEnd(t *testing.T) {
	before, after := exported(entry("shop", "cart", "192.0.2.1", "192.0.2.2"), "a", "b"), exported(entry("shop", "cart", "192.0.2.1", "192.0.2.3"), "b", "c")
	view, known := carried(t, View{}, Make(bundleOf(before), View{}, PlanOptions{Owner: testOwner}))
	options := keeping()
	options.Known = known

	plan := Make(bundleOf(after), view, options)
	if len(plan.Actions) != 1 || plan.Actions[0].Verb != Update || plan.Drifted() != 0 {
		t.Fatalf("the commit: %+v", plan.Actions)
	}
	view, options.Known = carried(t, view, plan)
	if _, desired := plan.Actions[0].Objects(); !slices.Equal(listOf(desired.Object["spec"], "exportTo"), []any{"a", "b", "c"}) || len(listOf(desired.Object["spec"], "endpoints")) != 3 {
		t.Errorf("widened: %v", desired)
	}

	for range 2 {
		if plan = Make(bundleOf(after), view, options); len(plan.Actions) > 0 || plan.Unchanged != 1 {
			t.Errorf("the same commit again: %v, unchanged %d", verbs(plan), plan.Unchanged)
		}
		view, options.Known = carried(t, view, plan)
	}

	// What somebody takes away is put back, as far as anybody knows of it.
	edited := view.Objects[0].DeepCopy()
	specOf(edited)["hosts"] = []any{"other.example.com"}
	plan = Make(bundleOf(after), View{Objects: []*unstructured.Unstructured{edited}}, options)
	if plan.Count(Update) != 1 {
		t.Errorf("an edit is not undone: %v", verbs(plan))
	}
	specOf(edited)["hosts"] = specOf(after)["hosts"]
	specOf(edited)["location"] = "MESH_EXTERNAL"
	if plan = Make(bundleOf(after), View{Objects: []*unstructured.Unstructured{edited}}, options); plan.Drifted() != 1 {
		t.Errorf("somebody's edit is no drift: %+v", plan.Actions)
	}

	options.Keep = ""
	plan = Make(bundleOf(after), view, options)
	if plan.Count(Update) != 1 || plan.Drifted() != 0 {
		t.Errorf("when all is known: %v, %d drifted", verbs(plan), plan.Drifted())
	}
	view, options.Known = carried(t, view, plan)
	if plan = Make(bundleOf(after), view, options); len(plan.Actions) > 0 || len(differences(after, view.Objects[0], testOwner.ID)) > 0 {
		t.Errorf("it is not narrowed: %v", view.Objects[0])
	}
}

func named(one *unstructured.Unstructured, identities ...any) *unstructured.Unstructured {
	specOf(one)["subjectAltNames"] = identities
	return one
}

func TestWhatCannotStandBesideTheOldWaits(t *testing.T) {
	byName := func(name string) *unstructured.Unstructured {
		out := entry("shop", "cart", "gw.example.com")
		out.SetName(name)
		specOf(out)["resolution"] = "DNS"
		return out
	}
	byAddress := func(name string) *unstructured.Unstructured {
		out := entry("shop", "cart", "192.0.2.1")
		out.SetName(name)
		return out
	}
	in := func(one *unstructured.Unstructured, locality string) *unstructured.Unstructured {
		for _, endpoint := range listOf(one.Object["spec"], "endpoints") {
			fieldsOf(endpoint)["locality"] = locality
		}
		return one
	}
	ordered := rule("shop", "cart")
	specOf(ordered)["trafficPolicy"].(map[string]any)["loadBalancer"] = map[string]any{"localityLbSetting": map[string]any{"failoverPriority": []any{"a"}}}

	tests := map[string]struct {
		reason       string
		live, bundle []*unstructured.Unstructured
		want         map[string]Verb
	}{
		"one half by name and the other not": {
			"Istio would follow the older one, and lose the endpoints of the other",
			[]*unstructured.Unstructured{byAddress("local")},
			[]*unstructured.Unstructured{byName("remote"), route("shop", "cart", "1s"), rule("pay", "cart")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/remote": Hold, "VirtualService/shop/cart": Hold, "DestinationRule/pay/cart": Hold},
		},
		"one half with other identities": {
			"endpoints of the new one would be refused by what the older one says",
			[]*unstructured.Unstructured{named(byAddress("local"), "a")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "a", "b")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/remote": Hold},
		},
		"one half with fewer identities": {
			"the older one knows them all",
			[]*unstructured.Unstructured{named(byAddress("local"), "a", "b")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "a")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/remote": Create},
		},
		"both halves with other identities": {
			"both get to know them",
			[]*unstructured.Unstructured{named(byAddress("local"), "a"), named(byAddress("remote"), "a")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "b"), named(byAddress("local"), "b")},
			map[string]Verb{"ServiceEntry/shop/local": Update, "ServiceEntry/shop/remote": Update},
		},
		"both halves by name": {
			"pods and addresses are looked up as well",
			[]*unstructured.Unstructured{byAddress("local"), byAddress("remote")},
			[]*unstructured.Unstructured{byName("remote"), byName("local")},
			map[string]Verb{"ServiceEntry/shop/local": Update, "ServiceEntry/shop/remote": Update},
		},
		"addresses instead of a name": {
			"they stand side by side",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{byAddress("remote")},
			map[string]Verb{"ServiceEntry/shop/remote": Update},
		},
		"addresses of other places instead of a name, in order": {
			"istiod would panic (istio/istio#61857)",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{in(byAddress("remote"), "eu"), ordered, rule("shop", "stock")},
			map[string]Verb{"ServiceEntry/shop/remote": Hold, "DestinationRule/shop/cart": Hold, "DestinationRule/shop/stock": Create},
		},
		"what does not fit any more today": {
			"it is no worse for the new beside it",
			[]*unstructured.Unstructured{byName("remote"), byAddress("local")},
			[]*unstructured.Unstructured{byName("remote"), byAddress("other")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/other": Create},
		},
		"what does not fit by itself": {
			"it is no worse for the old beside it",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{byName("remote"), byAddress("local")},
			map[string]Verb{"ServiceEntry/shop/local": Create},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := Make(bundleOf(test.bundle...), ourObjects(test.live...), keeping())
			if diff := cmp.Diff(test.want, verbs(plan)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			for _, action := range plan.Actions {
				if action.Verb == Hold && action.Reason != lost {
					t.Errorf("%s: %s", action.Key, action.Reason)
				}
			}
		})
	}
}
