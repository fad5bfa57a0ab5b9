package execute

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

// settlesIn is a controller whose clock the test moves on, and that has applied something before.
func settlesIn(c *testCluster, wait time.Duration) *testController {
	k := c.start()
	k.options.MaxPrunePercent = 100
	k.options.Timing = plans.Timing{Now: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC), RoutingDelay: wait}
	return k
}

// waits carries a plan out and returns what of it waits, with the service, until when.
func (k *testController) waits(objects ...*unstructured.Unstructured) map[string]time.Duration {
	k.t.Helper()
	plan := k.plan(istiotest.Bundle(objects...))
	if _, err := k.apply(plan); err != nil {
		k.t.Fatal(err)
	}
	out := map[string]time.Duration{}
	for _, action := range plan.Deferrals() {
		out[action.Key.String()] = action.Until.Sub(k.options.Timing.Now)
	}
	return out
}

func withSubset(rule *unstructured.Unstructured, names ...string) *unstructured.Unstructured {
	subsets := []any{}
	for _, name := range names {
		subsets = append(subsets, map[string]any{"name": name, "labels": map[string]any{"version": name}})
	}
	_ = unstructured.SetNestedSlice(rule.Object, subsets, "spec", "subsets")
	return rule
}

func TestNewRoutingToOtherClustersIsDeferred(t *testing.T) {
	c := newCluster(t)
	k := settlesIn(c, 90*time.Second)
	k.options.Timing.RoutingDelay = 0
	web := istiotest.Services("web")
	k.sync(istiotest.Bundle(web...))
	k.options.Timing.RoutingDelay = 90 * time.Second

	moved := []*unstructured.Unstructured{istiotest.ServiceEntry("shop", "web", "192.0.2.2"), istiotest.DestinationRule("shop", "web"), istiotest.VirtualService("shop", "web", "9s")}
	added := istiotest.Service("cart")
	all := append(append([]*unstructured.Unstructured{}, moved...), added...)
	waiting := k.waits(all...)
	if len(waiting) != 5 || waiting["ServiceEntry/shop/web"] != 90*time.Second || waiting["VirtualService/shop/cart"] != 90*time.Second {
		t.Fatalf("the routing of both waits: %v", waiting)
	}
	c.equal(istiotest.Bundle(web...))

	// A commit beside it does not begin its time anew, and a change of it does.
	k.options.Timing.Now = k.options.Timing.Now.Add(60 * time.Second)
	again := append(append([]*unstructured.Unstructured{istiotest.ServiceEntry("shop", "web", "192.0.2.3")}, moved[1:]...), added...)
	waiting = k.waits(again...)
	if waiting["ServiceEntry/shop/web"] != 90*time.Second || waiting["ServiceEntry/shop/cart"] != 30*time.Second {
		t.Errorf("after a minute: %v", waiting)
	}
	k.options.Timing.Now = k.options.Timing.Now.Add(30 * time.Second)
	waiting = k.waits(again...)
	if len(waiting) != 2 || waiting["ServiceEntry/shop/web"] != time.Minute {
		t.Errorf("the time of one has come: %v", waiting)
	}
	c.equal(istiotest.Bundle(append(append([]*unstructured.Unstructured{}, web...), added...)...))
	k.options.Timing.Now = k.options.Timing.Now.Add(time.Minute)
	if waiting = k.waits(again...); len(waiting) > 0 {
		t.Errorf("the time of both has come: %v", waiting)
	}
	c.equal(istiotest.Bundle(again...))
}

func TestRoutingWithoutNewDependencyIsNotDeferred(t *testing.T) {
	local := istiotest.ServiceEntry("shop", "near")
	unstructured.RemoveNestedField(local.Object, "spec", "endpoints")
	_ = unstructured.SetNestedField(local.Object, map[string]any{"labels": map[string]any{"app": "near"}}, "spec", "workloadSelector")
	beside := istiotest.ServiceEntry("shop", "near", "near.shop.svc.cluster.local")
	_ = unstructured.SetNestedField(beside.Object, "DNS", "spec", "resolution")
	outside := istiotest.ServiceEntry("shop", "bank", "198.51.100.1")
	_ = unstructured.SetNestedField(outside.Object, "MESH_EXTERNAL", "spec", "location")
	for name, tc := range map[string]struct {
		reason string
		to     []*unstructured.Unstructured
		waits  bool
	}{
		"Timeout":         {"a route of what is called already", []*unstructured.Unstructured{istiotest.ServiceEntry("shop", "web", "192.0.2.1"), istiotest.DestinationRule("shop", "web"), istiotest.VirtualService("shop", "web", "9s")}, false},
		"FewerEndpoints":  {"a cluster is left", []*unstructured.Unstructured{istiotest.ServiceEntry("shop", "web"), istiotest.DestinationRule("shop", "web"), istiotest.VirtualService("shop", "web", "5s")}, false},
		"Pods":            {"of this cluster", append(istiotest.Services("web"), local), false},
		"Service":         {"of this cluster, by its name", append(istiotest.Services("web"), beside), false},
		"External":        {"of no cluster", append(istiotest.Services("web"), outside), false},
		"VersionsOfPods":  {"here", append(istiotest.Services("web"), local, withSubset(istiotest.DestinationRule("shop", "near"), "v1")), false},
		"VersionsOfOther": {"another cluster has to offer them by their names", []*unstructured.Unstructured{istiotest.ServiceEntry("shop", "web", "192.0.2.1"), withSubset(istiotest.DestinationRule("shop", "web"), "v1"), istiotest.VirtualService("shop", "web", "5s")}, true},
		"Offer":           {"what is offered comes early", append(istiotest.Services("web"), offer("cart", "v1")...), false},
		"Removed":         {"less leads anywhere", []*unstructured.Unstructured{istiotest.ServiceEntry("shop", "web", "192.0.2.1")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := settlesIn(newCluster(t), 0)
			k.sync(istiotest.Bundle(istiotest.Services("web")...))
			k.options.Timing.RoutingDelay = time.Hour
			if waiting := k.waits(tc.to...); (len(waiting) > 0) != tc.waits {
				t.Errorf("%s: %v", tc.reason, waiting)
			}
		})
	}
}

func TestCorrectionOfDriftIsNotDeferred(t *testing.T) {
	c := newCluster(t)
	k := settlesIn(c, 0)
	bundle := istiotest.Bundle(istiotest.Services("web")...)
	k.sync(bundle)
	k.plan(bundle)
	k.sync(bundle)
	k.options.Timing.RoutingDelay = time.Hour
	c.remove(istiotest.ServiceEntry("shop", "web"))
	k.planUntil(bundle, "it is seen to be gone", func(p plans.Plan) bool { return p.Drifted() == 1 })
	if waiting := k.waits(istiotest.Services("web")...); len(waiting) > 0 {
		t.Errorf("it waits: %v", waiting)
	}
	c.equal(bundle)
}

func TestFirstSyncIsNotDeferred(t *testing.T) {
	c := newCluster(t)
	k := settlesIn(c, time.Hour)
	k.options.Timing.FirstSync = true
	if waiting := k.waits(istiotest.Services("web")...); len(waiting) > 0 {
		t.Errorf("nothing of ours was there, and %v waits", waiting)
	}
	c.equal(istiotest.Bundle(istiotest.Services("web")...))
}

func TestClusterWithoutObjectsAfterFirstSyncDefers(t *testing.T) {
	c := newCluster(t)
	k := settlesIn(c, time.Hour)
	if waiting := k.waits(istiotest.Services("web")...); len(waiting) == 0 {
		t.Error("it calls what nobody may offer yet")
	}
}
