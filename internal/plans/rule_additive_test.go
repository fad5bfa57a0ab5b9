package plans_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func keeping() plans.Options {
	return plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20, AdditiveOnly: plantest.Unknown}
}

func TestNothingIsDeletedWhileAServiceIsUnknown(t *testing.T) {
	view := plantest.LiveState(append(istiotest.DestinationRules(30), istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.WithAnnotations(istiotest.ServiceEntry("shop", "stock", "192.0.2.1"), map[string]string{ownership.AnnotationPrune: ownership.Disabled}))...)
	for name, bundle := range map[string]*render.Bundle{"all": istiotest.Bundle(), "nearly all": istiotest.Bundle(istiotest.DestinationRule("shop", "s001"))} {
		t.Run(name, func(t *testing.T) {
			bundle.Calls = []render.Call{{Caller: "web", Callee: "cart"}}
			plan := plans.Make(bundle, view, keeping())
			if plan.Writes() || plan.Guard != nil {
				t.Errorf("guard %v, actions %v", plan.Guard, plantest.Verbs(plan))
			}
			if want := 32 - len(bundle.Resources); plan.Count(plans.Skip) != want || plan.Unchanged != len(bundle.Resources) {
				t.Errorf("%d skipped and %d unchanged", plan.Count(plans.Skip), plan.Unchanged)
			}
			for _, action := range plan.Actions {
				if asked := action.Key.Name == "stock"; asked == (action.Reason == *plantest.Unknown) {
					t.Errorf("%s is skipped: %s", action.Key, action.Reason)
				}
			}
		})
	}
}

func TestNoEndpointIsRemovedWhileAServiceIsUnknown(t *testing.T) {
	nowhere := istiotest.ServiceEntry("shop", "cart")
	nowhere = istiotest.WithLabels(nowhere, map[string]string{render.LabelNoEndpoint: "true"})
	delete(istiotest.Spec(nowhere), "endpoints")
	istiotest.Spec(nowhere)["workloadSelector"] = map[string]any{"labels": map[string]any{render.LabelNoEndpoint: "true"}}
	bundle := istiotest.Bundle(nowhere)
	bundle.Calls = []render.Call{{Caller: "web", Callee: "cart"}}
	options := keeping()
	if plan := plans.Make(bundle, plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1")), options); plan.Guard != nil || len(plan.Actions) > 0 || plan.Unchanged != 1 {
		t.Errorf("guard %v, actions %v, unchanged %d", plan.Guard, plantest.Verbs(plan), plan.Unchanged)
	}
	options.AdditiveOnly = nil
	if plan := plans.Make(bundle, plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1")), options); plan.Guard == nil {
		t.Error("without AdditiveOnly the guard must hold the plan")
	}
}

func TestNewObjectsThatRestrictAccessAreSkipped(t *testing.T) {
	dry := func(policy *unstructured.Unstructured) *unstructured.Unstructured {
		return istiotest.WithAnnotations(policy, map[string]string{merge.AnnotationDryRun: "true"})
	}
	everywhere := istiotest.AuthorizationPolicy("cart", "everywhere", "ALLOW", "a")
	delete(istiotest.Spec(everywhere), "selector")
	other := istiotest.AuthorizationPolicy("cart", "other", "ALLOW", "a")
	other.SetNamespace("pay")
	going := plantest.LiveState(istiotest.AuthorizationPolicy("cart", "old", "ALLOW", "a"))
	now := metav1.Now()
	going.Objects[0].SetDeletionTimestamp(&now)
	fresh := istiotest.AuthorizationPolicy("cart", "cart", "ALLOW", "b")

	tests := map[string]struct {
		reason string
		fresh  *unstructured.Unstructured
		view   clustercache.State
		beside []*unstructured.Unstructured
		want   plans.Verb
	}{
		"the first policy":                      {"it lets in those whom it names, and nobody else", fresh, clustercache.State{}, nil, plans.Skip},
		"beside another":                        {"who is let in is still let in", fresh, plantest.LiveState(istiotest.AuthorizationPolicy("cart", "old", "ALLOW", "a")), nil, plans.Create},
		"beside one for the whole namespace":    {"so is everybody", fresh, plantest.LiveState(everywhere), nil, plans.Create},
		"beside one of another workload":        {"it was open", fresh, plantest.LiveState(istiotest.AuthorizationPolicy("stock", "old", "ALLOW", "a")), nil, plans.Skip},
		"beside one of another namespace":       {"it was open", fresh, plantest.LiveState(other), nil, plans.Skip},
		"beside one that denies":                {"everybody else was let in", fresh, plantest.LiveState(istiotest.AuthorizationPolicy("cart", "old", "DENY", "a")), nil, plans.Skip},
		"beside one that is only tried":         {"everybody was let in", fresh, plantest.LiveState(dry(istiotest.AuthorizationPolicy("cart", "old", "ALLOW", "a"))), nil, plans.Skip},
		"beside one that is only tried by then": {"those whom it lets in would lose it", fresh, plantest.LiveState(istiotest.AuthorizationPolicy("cart", "old", "ALLOW", "a")), []*unstructured.Unstructured{dry(istiotest.AuthorizationPolicy("cart", "old", "ALLOW", "a"))}, plans.Skip},
		"beside one that is for others by then": {"so would they", fresh, plantest.LiveState(everywhere), []*unstructured.Unstructured{istiotest.AuthorizationPolicy("stock", "everywhere", "ALLOW", "a")}, plans.Skip},
		"beside one that goes":                  {"it is gone soon", fresh, going, nil, plans.Skip},
		"beside a foreign one":                  {"what it says is not known", fresh, clustercache.State{Objects: []*unstructured.Unstructured{clustercache.StripForeign(everywhere)}}, nil, plans.Skip},
		"only tried":                            {"it keeps nobody out", dry(fresh), clustercache.State{}, nil, plans.Create},
		"an audit":                              {"so does that", istiotest.AuthorizationPolicy("cart", "cart", "AUDIT", "b"), clustercache.State{}, nil, plans.Create},
		"one that denies":                       {"it keeps out", istiotest.AuthorizationPolicy("cart", "cart", "DENY", "b"), plantest.LiveState(istiotest.AuthorizationPolicy("cart", "old", "ALLOW", "a")), nil, plans.Skip},
		"a Sidecar":                             {"proxies are told of nothing else then", istiotest.Object("Sidecar", "shop", "cart", "cart", map[string]any{"egress": []any{map[string]any{"hosts": []any{"shop/*"}}}}), clustercache.State{}, nil, plans.Skip},
		"an entry":                              {"it only adds", istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), clustercache.State{}, nil, plans.Create},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bundle := istiotest.Bundle(append(test.beside, test.fresh)...)
			plan := plans.Make(bundle, test.view, keeping())
			at := slices.IndexFunc(plan.Actions, func(action plans.Action) bool { return action.Key == render.KeyOf(test.fresh) })
			if at < 0 || plan.Actions[at].Verb != test.want || test.want == plans.Skip && plan.Actions[at].Reason != *plantest.Unknown {
				t.Errorf("%s: %v", test.reason, plantest.Verbs(plan))
			}
			options := keeping()
			options.AdditiveOnly = nil
			if verb := plantest.Verbs(plans.Make(bundle, test.view, options))[render.KeyOf(test.fresh).String()]; verb != plans.Create {
				t.Errorf("without AdditiveOnly: %s", verb)
			}
		})
	}
}

func TestMergedObjectIsNotDriftAndIsStable(t *testing.T) {
	before, after := istiotest.ExportedTo(istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "192.0.2.2"), "a", "b"), istiotest.ExportedTo(istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "192.0.2.3"), "b", "c")
	view, known := plantest.AfterApply(t, clustercache.State{}, plans.Make(istiotest.Bundle(before), clustercache.State{}, plans.Options{Owner: plantest.Owner}))
	options, memory := keeping(), plans.Memory{Known: known}

	plan := memory.Make(istiotest.Bundle(after), view, options)
	if len(plan.Actions) != 1 || plan.Actions[0].Verb != plans.Update || plan.Drifted() != 0 {
		t.Fatalf("the commit: %+v", plan.Actions)
	}
	view, memory.Known = plantest.AfterApply(t, view, plan)
	if desired := plan.Actions[0].Desired; !slices.Equal(nested.List(desired.Object["spec"], "exportTo"), []any{"a", "b", "c"}) || len(nested.List(desired.Object["spec"], "endpoints")) != 3 {
		t.Errorf("widened: %v", desired)
	}

	for range 2 {
		if plan = memory.Make(istiotest.Bundle(after), view, options); len(plan.Actions) > 0 || plan.Unchanged != 1 {
			t.Errorf("the same commit again: %v, unchanged %d", plantest.Verbs(plan), plan.Unchanged)
		}
		view, memory.Known = plantest.AfterApply(t, view, plan)
	}

	// An object that a user reduced is corrected, as far as its content is known.
	edited := view.Objects[0].DeepCopy()
	istiotest.Spec(edited)["hosts"] = []any{"other.example.com"}
	plan = memory.Make(istiotest.Bundle(after), clustercache.State{Objects: []*unstructured.Unstructured{edited}}, options)
	if plan.Count(plans.Update) != 1 {
		t.Errorf("an edit is not undone: %v", plantest.Verbs(plan))
	}
	istiotest.Spec(edited)["hosts"] = istiotest.Spec(after)["hosts"]
	istiotest.Spec(edited)["location"] = "MESH_EXTERNAL"
	if plan = memory.Make(istiotest.Bundle(after), clustercache.State{Objects: []*unstructured.Unstructured{edited}}, options); plan.Drifted() != 1 {
		t.Errorf("an edit of a user must be drift: %+v", plan.Actions)
	}

	options.AdditiveOnly = nil
	plan = memory.Make(istiotest.Bundle(after), view, options)
	if plan.Count(plans.Update) != 1 || plan.Drifted() != 0 {
		t.Errorf("when all is known: %v, %d drifted", plantest.Verbs(plan), plan.Drifted())
	}
	view, memory.Known = plantest.AfterApply(t, view, plan)
	if plan = memory.Make(istiotest.Bundle(after), view, options); len(plan.Actions) > 0 || len(merge.Differences(after, view.Objects[0], plantest.Owner.ID)) > 0 {
		t.Errorf("it is not narrowed: %v", view.Objects[0])
	}
}

func named(one *unstructured.Unstructured, identities ...any) *unstructured.Unstructured {
	istiotest.Spec(one)["subjectAltNames"] = identities
	return one
}

func TestConflictingRoutingIsSkippedWhileAServiceIsUnknown(t *testing.T) {
	byName := func(name string) *unstructured.Unstructured {
		out := istiotest.ServiceEntry("shop", "cart", "gw.example.com")
		out.SetName(name)
		istiotest.Spec(out)["resolution"] = "DNS"
		return out
	}
	byAddress := func(name string) *unstructured.Unstructured {
		out := istiotest.ServiceEntry("shop", "cart", "192.0.2.1")
		out.SetName(name)
		return out
	}
	in := func(one *unstructured.Unstructured, locality string) *unstructured.Unstructured {
		for _, endpoint := range nested.List(one.Object["spec"], "endpoints") {
			nested.Map(endpoint)["locality"] = locality
		}
		return one
	}
	ordered := istiotest.DestinationRule("shop", "cart")
	istiotest.Spec(ordered)["trafficPolicy"].(map[string]any)["loadBalancer"] = map[string]any{"localityLbSetting": map[string]any{"failoverPriority": []any{"a"}}}

	tests := map[string]struct {
		reason       string
		live, bundle []*unstructured.Unstructured
		want         map[string]plans.Verb
	}{
		"one half by name and the other not": {
			"Istio would follow the older one, and lose the endpoints of the other",
			[]*unstructured.Unstructured{byAddress("local")},
			[]*unstructured.Unstructured{byName("remote"), istiotest.VirtualService("shop", "cart", "1s"), istiotest.DestinationRule("pay", "cart")},
			map[string]plans.Verb{"ServiceEntry/shop/local": plans.Skip, "ServiceEntry/shop/remote": plans.Skip, "VirtualService/shop/cart": plans.Skip, "DestinationRule/pay/cart": plans.Skip},
		},
		"one half with other identities": {
			"endpoints of the new one would be refused by what the older one says",
			[]*unstructured.Unstructured{named(byAddress("local"), "a")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "a", "b")},
			map[string]plans.Verb{"ServiceEntry/shop/local": plans.Skip, "ServiceEntry/shop/remote": plans.Skip},
		},
		"one half with fewer identities": {
			"the older one knows them all",
			[]*unstructured.Unstructured{named(byAddress("local"), "a", "b")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "a")},
			map[string]plans.Verb{"ServiceEntry/shop/local": plans.Skip, "ServiceEntry/shop/remote": plans.Create},
		},
		"both halves with other identities": {
			"both get to know them",
			[]*unstructured.Unstructured{named(byAddress("local"), "a"), named(byAddress("remote"), "a")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "b"), named(byAddress("local"), "b")},
			map[string]plans.Verb{"ServiceEntry/shop/local": plans.Update, "ServiceEntry/shop/remote": plans.Update},
		},
		"both halves by name": {
			"pods and addresses are looked up as well",
			[]*unstructured.Unstructured{byAddress("local"), byAddress("remote")},
			[]*unstructured.Unstructured{byName("remote"), byName("local")},
			map[string]plans.Verb{"ServiceEntry/shop/local": plans.Update, "ServiceEntry/shop/remote": plans.Update},
		},
		"addresses instead of a name": {
			"they stand side by side",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{byAddress("remote")},
			map[string]plans.Verb{"ServiceEntry/shop/remote": plans.Update},
		},
		"addresses of other places instead of a name, in order": {
			"istiod would panic (istio/istio#61857)",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{in(byAddress("remote"), "eu"), ordered, istiotest.DestinationRule("shop", "stock")},
			map[string]plans.Verb{"ServiceEntry/shop/remote": plans.Skip, "DestinationRule/shop/cart": plans.Skip, "DestinationRule/shop/stock": plans.Create},
		},
		"what does not fit any more today": {
			"it is no worse for the new beside it",
			[]*unstructured.Unstructured{byName("remote"), byAddress("local")},
			[]*unstructured.Unstructured{byName("remote"), byAddress("other")},
			map[string]plans.Verb{"ServiceEntry/shop/local": plans.Skip, "ServiceEntry/shop/other": plans.Create},
		},
		"what does not fit by itself": {
			"it is no worse for the old beside it",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{byName("remote"), byAddress("local")},
			map[string]plans.Verb{"ServiceEntry/shop/local": plans.Create},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := plans.Make(istiotest.Bundle(test.bundle...), plantest.LiveState(test.live...), keeping())
			if diff := cmp.Diff(test.want, plantest.Verbs(plan)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			for _, action := range plan.Actions {
				if action.Verb == plans.Skip && action.Reason != *plantest.Unknown {
					t.Errorf("%s: %s", action.Key, action.Reason)
				}
			}
		})
	}
}
