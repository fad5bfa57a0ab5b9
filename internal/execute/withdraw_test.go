package execute

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

var published = map[string]string{render.LabelSide: string(render.SidePublish)}

// offer is what a cluster publishes of a service: its entry under a reserved name, and its versions.
func offer(name string, versions ...string) []*unstructured.Unstructured {
	entry, rule := istiotest.ServiceEntry("shop", name+"-out", "192.0.2.1"), istiotest.DestinationRule("shop", name+"-out")
	subsets := []any{}
	for _, v := range versions {
		subsets = append(subsets, map[string]any{"name": v, "labels": map[string]any{"version": v}})
	}
	if len(subsets) > 0 {
		_ = unstructured.SetNestedSlice(rule.Object, subsets, "spec", "subsets")
	}
	return []*unstructured.Unstructured{istiotest.WithLabels(entry, published), istiotest.WithLabels(rule, published)}
}

// withdrawing is a controller whose clock the test moves on.
func withdrawing(c *testCluster) *testController {
	k := c.start()
	k.options.MaxPrunePercent = 100
	k.options.Timing = plans.Timing{WithdrawAfter: time.Hour, Now: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)}
	return k
}

func (k *testController) later(d time.Duration) {
	k.options.Timing.Now = k.options.Timing.Now.Add(d)
}

// steady fails the test unless there is nothing to do, and returns until when what stays does.
func (k *testController) steady(bundle *render.Bundle) map[string]time.Time {
	k.t.Helper()
	plan := k.plan(bundle)
	if plan.Writes() {
		k.t.Errorf("there is something to do: %v", plantest.Verbs(plan))
	}
	until := map[string]time.Time{}
	for _, action := range plan.Withdrawals() {
		until[action.Key.String()] = action.Until
	}
	return until
}

func TestExportStaysAfterItsRemoval(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	before := istiotest.Bundle(append(offer("cart", "v1"), istiotest.Services("cart", "web")...)...)
	after := istiotest.Bundle(istiotest.Services("web")...)
	k.sync(before)
	k.sync(after)
	due := k.options.Timing.Now.Add(time.Hour)
	for _, object := range offer("cart", "v1") {
		live := c.get(object)
		if nested.JSON(live.Object["spec"]) != nested.JSON(object.Object["spec"]) || !strings.HasPrefix(live.GetAnnotations()[ownership.AnnotationWithdrawn], "2026-11-21T20:00:00Z gone ") {
			t.Errorf("%s is not as it was: %v %s", render.KeyOf(object), live.GetAnnotations(), nested.JSON(live.Object["spec"]))
		}
	}
	for _, object := range istiotest.Services("cart") {
		if c.exists(object) {
			t.Errorf("%s is for callers here, and goes at once", render.KeyOf(object))
		}
	}
	for range 2 {
		k.later(29 * time.Minute)
		// Also after a restart.
		again := withdrawing(c)
		again.options.Timing.Now = k.options.Timing.Now
		for _, k := range []*testController{k, again} {
			until := k.steady(after)
			if len(until) != 2 || !until["ServiceEntry/shop/cart-out"].Equal(due) || !until["DestinationRule/shop/cart-out"].Equal(due) {
				t.Errorf("it stays until %v, want %s", until, due)
			}
		}
	}
	k.later(2 * time.Minute)
	if result := k.sync(after); result.Deleted != 2 || result.Wrote() != 2 {
		t.Errorf("its time has come: %+v", result)
	}
	c.equal(after)
}

func TestRemovedVersionStaysForWithdrawAfter(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	three, two, one := istiotest.Bundle(offer("cart", "v1", "v2", "v3")...), istiotest.Bundle(offer("cart", "v1", "v2")...), istiotest.Bundle(offer("cart", "v1")...)
	versions := func() (names []string) {
		for _, subset := range nested.List(nested.Map(c.get(offer("cart")[1]).Object, "spec"), "subsets") {
			names = append(names, fmt.Sprint(nested.Map(subset)["name"]))
		}
		return slices.Sorted(slices.Values(names))
	}
	want := func(names ...string) {
		t.Helper()
		if got := versions(); !slices.Equal(got, names) {
			t.Errorf("offered: %v, want %v", got, names)
		}
	}
	k.sync(three)
	k.sync(two)
	want("v1", "v2", "v3")
	// What leaves later has its own hour.
	k.later(50 * time.Minute)
	k.sync(one)
	k.later(59 * time.Minute)
	if until := k.steady(one); len(until) != 1 {
		t.Errorf("one object waits: %v", until)
	}
	want("v1", "v2", "v3")
	k.later(time.Minute)
	k.sync(one)
	want("v1")
	c.equal(one)
	if until := k.steady(one); len(until) > 0 {
		t.Errorf("nothing waits any more: %v", until)
	}
}

func TestExportThatReturnsIsNotWithdrawn(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	with, without := istiotest.Bundle(append(offer("cart", "v1"), istiotest.Services("web")...)...), istiotest.Bundle(istiotest.Services("web")...)
	k.sync(with)
	k.sync(without)
	k.later(50 * time.Minute)
	k.sync(with)
	c.equal(with)
	if until := k.steady(with); len(until) > 0 {
		t.Errorf("nothing waits: %v", until)
	}
	k.later(20 * time.Minute)
	k.sync(without)
	for key, until := range k.steady(without) {
		if want := k.options.Timing.Now.Add(time.Hour); !until.Equal(want) {
			t.Errorf("%s goes at %s, want %s: its hour begins anew", key, until, want)
		}
	}
}

func TestAccessAndPublicHostsEndAtOnce(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	gateway := func(name, mode string) *unstructured.Unstructured {
		tls := map[string]any{"mode": mode}
		if mode == "SIMPLE" {
			tls["credentialName"] = "cart"
		}
		return istiotest.WithLabels(istiotest.Object("Gateway", "shop", name, "cart", map[string]any{"selector": map[string]any{"app": "gateway"}, "servers": []any{map[string]any{
			"hosts": []any{"*.example.com"}, "tls": tls, "port": map[string]any{"name": "tls", "number": int64(15443), "protocol": "TLS"},
		}}}), published)
	}
	policy := istiotest.WithLabels(istiotest.Object(istio.AuthorizationPolicyKind, "shop", "cart", "cart", map[string]any{
		"action": "ALLOW", "selector": map[string]any{"matchLabels": map[string]any{"app": "cart"}},
		"rules": []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"principals": []any{"cluster.local/ns/a/sa/b"}}}}}},
	}), published)
	public, inner := gateway("public", "SIMPLE"), istiotest.WithLabels(gateway("inner", "AUTO_PASSTHROUGH"), map[string]string{render.LabelService: ""})
	k.sync(istiotest.Bundle(append(istiotest.Services("web"), public, inner, policy)...))
	k.sync(istiotest.Bundle(istiotest.Services("web")...))
	for _, gone := range []*unstructured.Unstructured{public, policy} {
		if c.exists(gone) {
			t.Errorf("%s is still there", render.KeyOf(gone))
		}
	}
	if !c.exists(inner) {
		t.Error("other clusters may still come in by the inner gateway")
	}
	k.options.Timing.WithdrawAfter = 0
	k.sync(istiotest.Bundle(istiotest.Services("web")...))
	c.equal(istiotest.Bundle(istiotest.Services("web")...))
}

func TestReachablePodsKeepTheirPolicy(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	policy := istiotest.WithLabels(istiotest.Object(istio.AuthorizationPolicyKind, "shop", "cart", "cart-out", map[string]any{
		"action": "ALLOW", "selector": map[string]any{"matchLabels": map[string]any{"app": "cart"}},
		"rules": []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"principals": []any{"cluster.local/ns/a/sa/b"}}}}}},
	}), published)
	k.sync(istiotest.Bundle(append(append(offer("cart"), istiotest.Services("web")...), policy)...))
	after := istiotest.Bundle(istiotest.Services("web")...)
	k.sync(after)
	if !c.exists(policy) {
		t.Error("without any policy everybody may call the pods that are still offered")
	}
	k.later(time.Hour)
	k.sync(after)
	c.equal(after)

	k.sync(istiotest.Bundle(append(append(offer("cart"), istiotest.Services("web")...), policy)...))
	k.sync(istiotest.Bundle(append(offer("cart"), istiotest.Services("web")...)...))
	if c.exists(policy) {
		t.Error("of a service that is there it goes at once")
	}
}

func TestNewExportReplacesConflictingOldOne(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	selecting := func(app string) *unstructured.Unstructured {
		out := offer("cart")[0]
		unstructured.RemoveNestedField(out.Object, "spec", "endpoints")
		_ = unstructured.SetNestedField(out.Object, map[string]any{"labels": map[string]any{"app": app}}, "spec", "workloadSelector")
		return out
	}
	k.sync(istiotest.Bundle(selecting("cart")))
	after := istiotest.Bundle(selecting("cart-v2"))
	k.sync(after)
	c.equal(after)
}

func TestDriftOfExportIsCorrectedAtOnce(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	bundle := istiotest.Bundle(offer("cart", "v1")...)
	k.sync(bundle)
	k.sync(bundle)
	c.patch(offer("cart")[0], `{"spec":{"hosts":["cart-out.shop.example.com","other.example.com"]}}`)
	k.planUntil(bundle, "the edit is seen", func(p plans.Plan) bool { return p.Drifted() == 1 })
	if result := k.sync(bundle); result.Drifted != 1 {
		t.Errorf("%+v", result)
	}
	c.equal(bundle)
}

func TestEditedWithdrawnObjectIsDeletedAtOnce(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	after := istiotest.Bundle(istiotest.Services("web")...)
	k.sync(istiotest.Bundle(append(offer("cart", "v1"), istiotest.Services("web")...)...))
	k.sync(after)
	entry, rule := offer("cart", "v1")[0], offer("cart", "v1")[1]
	c.patch(rule, `{"metadata":{"annotations":{"team":"shop"}}}`)
	c.patch(entry, `{"spec":{"hosts":["other.example.com"]}}`)
	k.planUntil(after, "the edit is seen", func(p plans.Plan) bool { return p.Count(plans.Delete) == 1 })
	k.sync(after)
	if c.exists(entry) || !c.exists(rule) {
		t.Error("nobody knows what it was; what others wrote beside it does not matter")
	}
	k.later(time.Hour)
	k.sync(after)
	c.equal(after)
}

func TestStaleWithdrawnAnnotationDeletesNothing(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	bundle := istiotest.Bundle(append(offer("cart", "v1"), istiotest.Services("web")...)...)
	k.sync(bundle)
	c.patch(offer("cart")[0], `{"metadata":{"annotations":{"isthmus.dev/withdrawn":"2020-01-01T00:00:00Z gone 0123"}}}`)
	k.planUntil(bundle, "it is seen", func(p plans.Plan) bool { return p.Writes() })
	k.sync(bundle)
	c.equal(bundle)
	if a := c.get(offer("cart")[0]).GetAnnotations()[ownership.AnnotationWithdrawn]; a != "" {
		t.Errorf("it still has %q", a)
	}
}

func TestClockSetBackExtendsNoWithdrawal(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	after := istiotest.Bundle(istiotest.Services("web")...)
	k.sync(istiotest.Bundle(append(offer("cart", "v1"), istiotest.Services("web")...)...))
	k.sync(after)
	k.later(-20 * 24 * time.Hour)
	k.sync(after)
	stays := k.steady(after)
	if len(stays) != 2 {
		t.Errorf("%d objects stay", len(stays))
	}
	for key, until := range stays {
		if left := until.Sub(k.options.Timing.Now); left > time.Hour {
			t.Errorf("%s stays for %s", key, left)
		}
	}
	k.later(time.Hour)
	k.sync(after)
	c.equal(after)
}

func TestGuardJudgesAWithdrawalOnce(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	k.options.MaxPrunePercent = 20
	all := istiotest.Services("web")
	for i := range 8 {
		all = append(all, offer(fmt.Sprintf("s%d", i), "v1")...)
	}
	k.sync(istiotest.Bundle(all...))
	after := istiotest.Bundle(istiotest.Services("web")...)
	plan := k.plan(after)
	if plan.Guard == nil || plan.Guard.Kind != plans.MassDeletion {
		t.Fatalf("16 of 19 objects would go: %+v", plan.Guard)
	}
	k.options.AcknowledgedDigests = []string{plan.Guard.Digest}
	k.sync(after)
	k.options.AcknowledgedDigests = nil
	k.later(30 * time.Minute)
	if until := k.steady(after); len(until) != 16 {
		t.Errorf("%d wait", len(until))
	}
	k.later(30 * time.Minute)
	k.sync(after)
	c.equal(after)
}

// Twelve services leave a cluster that still calls them: what they offered stays for a while, and where callers go instead has to be offered first.
func TestLeavingAClusterIsAcknowledgedOnce(t *testing.T) {
	c := newCluster(t)
	k := withdrawing(c)
	k.options.MaxPrunePercent = 20
	var before, after []*unstructured.Unstructured
	for _, name := range many("cart", 12) {
		for _, object := range offer(name) {
			before = append(before, istiotest.WithLabels(object, map[string]string{render.LabelService: name}))
		}
		pods, remote := istiotest.ServiceEntry("shop", name), istiotest.ServiceEntry("shop", name, "192.0.2.9")
		pods.SetName(name + "-pods")
		spec := pods.Object["spec"].(map[string]any)
		delete(spec, "endpoints")
		spec["workloadSelector"] = map[string]any{"labels": map[string]any{"app": name}}
		remote.SetName(name + "-remote")
		before = append(before, pods, istiotest.DestinationRule("shop", name))
		after = append(after, remote, istiotest.DestinationRule("shop", name))
	}
	k.sync(istiotest.Bundle(before...))
	k.options.Timing.RoutingDelay = 90 * time.Second
	bundle := istiotest.Bundle(after...)
	plan := k.plan(bundle)
	if plan.Guard == nil || plan.Guard.Kind != plans.MassDeletion {
		t.Fatalf("36 of 48 objects would go: %+v", plan.Guard)
	}
	k.options.AcknowledgedDigests = []string{plan.Guard.Digest}
	for range 3 {
		plan = k.plan(bundle)
		if plan.Guard != nil {
			t.Fatalf("what was agreed to is held: %+v", plan.Guard)
		}
		if _, err := k.apply(plan); err != nil {
			t.Fatal(err)
		}
		k.later(time.Minute)
	}
	if len(plan.Acknowledged) != 12 || !c.exists(after[0]) || c.exists(before[2]) {
		t.Errorf("callers were not led elsewhere; ahead were %v", plan.Acknowledged)
	}
	k.later(time.Hour)
	if plan = k.plan(bundle); plan.Guard != nil || len(plan.Acknowledged) > 0 {
		t.Errorf("held by %+v; ahead are %v", plan.Guard, plan.Acknowledged)
	}
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	c.equal(bundle)
}

// While no process watches, somebody gives an offer an endpoint, and deletes what leads to another cluster.
func TestDriftDuringRestartIsCorrectedAtOnce(t *testing.T) {
	c := newCluster(t)
	bundle := istiotest.Bundle(append(offer("cart", "v1"), istiotest.Services("web")...)...)
	withdrawing(c).sync(bundle)

	k := withdrawing(c)
	k.options.Timing.RoutingDelay = time.Hour
	k.options.WasInSync = true
	c.patch(offer("cart")[0], `{"spec":{"exportTo":["*"],"endpoints":[{"address":"192.0.2.1","ports":{"http":15443}},{"address":"203.0.113.66","ports":{"http":15443}}]}}`)
	c.remove(istiotest.Services("web")[0])
	k.planUntil(bundle, "both are seen", func(p plans.Plan) bool { return p.Drifted() == 2 })
	if result := k.sync(bundle); result.Drifted != 2 {
		t.Errorf("%+v", result)
	}
	c.equal(bundle)
}
