package plans_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestRoutingToNewEndpointsOfOtherClustersIsDeferred(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const delay = 10 * time.Minute
	one, two := istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "192.0.2.2")
	pods := istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "cart.shop.svc.cluster.local")
	external := istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "192.0.2.2")
	istiotest.Spec(external)["location"] = "MESH_EXTERNAL"
	gateway := istiotest.Object("Gateway", "shop", "x", "x", map[string]any{"servers": []any{}})
	slow, fast := istiotest.VirtualService("shop", "cart", "5s"), istiotest.VirtualService("shop", "cart", "1s")
	stock := istiotest.VirtualService("shop", "stock", "5s")
	localEntry := istiotest.ServiceEntry("shop", "cart", "cart.shop.svc.cluster.local")

	type objects = []*unstructured.Unstructured
	tests := map[string]struct {
		reason       string
		live, bundle objects
		change       func(*plans.Options)
		elapsed      time.Duration
		want         map[string]plans.Verb
	}{
		"a new endpoint":               {"the other cluster may not publish it yet", objects{one}, objects{two}, nil, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Defer}},
		"before the delay is over":     {"the time counts from the first plan that needed it", objects{one}, objects{two}, nil, delay - time.Second, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Defer}},
		"after the delay":              {"the other cluster has had the time", objects{one}, objects{two}, nil, delay, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update}},
		"all routing of the service":   {"its routes lead to its endpoints", objects{one, slow}, objects{two, fast}, nil, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Defer, "VirtualService/shop/cart": plans.Defer}},
		"routing of another service":   {"it does not need the endpoint", objects{one}, objects{two, stock}, nil, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Defer, "VirtualService/shop/stock": plans.Create}},
		"an endpoint that is removed":  {"nothing new is needed", objects{two}, objects{one}, nil, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update}},
		"pods of this cluster":         {"no other cluster is involved", objects{one}, objects{pods}, nil, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update}},
		"an external service":          {"no cluster publishes it", objects{istiotest.DestinationRule("shop", "x")}, objects{external}, nil, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Create, "DestinationRule/shop/x": plans.Delete}},
		"a new version of other pods":  {"the other cluster may not run it yet", objects{one, versioned("v1")}, objects{one, versioned("v1", "v2")}, nil, 0, map[string]plans.Verb{"DestinationRule/shop/cart": plans.Defer}},
		"a new version of pods here":   {"no other cluster is involved", objects{localEntry, versioned("v1")}, objects{localEntry, versioned("v1", "v2")}, nil, 0, map[string]plans.Verb{"DestinationRule/shop/cart": plans.Update}},
		"an export":                    {"publishing does not wait", objects{gateway}, objects{gateway, exported(one)}, nil, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Create}},
		"the first sync":               {"no caller of this cluster is routed yet", nil, objects{one}, func(o *plans.Options) { o.Timing.FirstSync = true }, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Create}},
		"a first sync with objects":    {"callers are routed already", objects{one}, objects{two}, func(o *plans.Options) { o.Timing.FirstSync = true }, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Defer}},
		"spec.routingDelay is 0":       {"the rule is disabled", objects{one}, objects{two}, func(o *plans.Options) { o.Timing.RoutingDelay = 0 }, 0, map[string]plans.Verb{"ServiceEntry/shop/cart": plans.Update}},
		"the timeout of a known route": {"nothing new is needed", objects{one, slow}, objects{one, fast}, nil, 0, map[string]plans.Verb{"VirtualService/shop/cart": plans.Update}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 100, Timing: plans.Timing{Now: now, RoutingDelay: delay}}
			if test.change != nil {
				test.change(&options)
			}
			view, bundle := plantest.LiveState(test.live...), istiotest.Bundle(test.bundle...)
			memory := plans.Memory{FirstNeeded: plans.Make(bundle, view, options).FirstNeeded}
			options.Timing.Now = now.Add(test.elapsed)
			plan := memory.Make(bundle, view, options)
			if diff := cmp.Diff(test.want, plantest.Verbs(plan)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			for _, action := range plan.Deferrals() {
				if want := now.Add(delay); !action.Until.Equal(want) || action.Reason != (plans.Deferral{Until: want}) {
					t.Errorf("%s: %s waits until %s: %s", test.reason, action.Key, action.Until, action.Reason)
				}
			}
		})
	}
}

func TestCorrectionsAreNotDeferred(t *testing.T) {
	entry := istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "192.0.2.2")
	options := plans.Options{
		Owner: plantest.Owner, Prune: true,
		Timing: plans.Timing{Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), RoutingDelay: time.Hour},
	}
	view := plantest.LiveState(entry)
	memory := plans.Memory{Known: plans.Make(istiotest.Bundle(entry), view, options).Known}
	spec := istiotest.Spec(view.Objects[0])
	spec["endpoints"] = nested.List(spec, "endpoints")[:1]
	plan := memory.Make(istiotest.Bundle(entry), clustercache.State{Objects: view.Objects}, options)
	if got := onlyAction(t, plan); got.Verb != plans.Update || !got.Drift {
		t.Errorf("a removed endpoint must be restored at once: %s, drift %t", got.Verb, got.Drift)
	}
}
