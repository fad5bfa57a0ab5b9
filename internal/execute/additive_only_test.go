package execute

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestAdditiveOnlyObjectsAreRemovedWhenAllServicesAreKnown(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	cart := istiotest.ExportedTo(istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "192.0.2.2"), "pay", "web")
	first := istiotest.Bundle(cart, istiotest.DestinationRule("shop", "cart"), istiotest.VirtualService("shop", "cart", "5s"), istiotest.ServiceEntry("shop", "ledger", "192.0.2.1"),
		istiotest.StubService(t, "shop", "cart"), istiotest.AuthorizationPolicy("cart", "cart", "ALLOW", "spiffe/ledger", "spiffe/web"))
	k.sync(first)

	more := istiotest.StubService(t, "shop", "cart")
	istiotest.Spec(more)["ports"] = []any{map[string]any{"name": "grpc", "port": int64(9000), "protocol": "TCP", "targetPort": int64(9000)}}
	second := istiotest.Bundle(istiotest.ExportedTo(istiotest.ServiceEntry("shop", "cart", "192.0.2.1", "192.0.2.3"), "app", "web"), istiotest.VirtualService("shop", "cart", "7s"), istiotest.VirtualService("shop", "new", "1s"),
		more, istiotest.AuthorizationPolicy("cart", "cart", "ALLOW", "spiffe/app", "spiffe/web"), istiotest.AuthorizationPolicy("stock", "stock", "ALLOW", "spiffe/web"))
	k.options.AdditiveOnly = plantest.Unknown
	plan := k.plan(second)
	want := map[string]plans.Verb{
		"Service/shop/cart": plans.Update, "ServiceEntry/shop/cart": plans.Update, "VirtualService/shop/cart": plans.Update, "VirtualService/shop/new": plans.Create, "AuthorizationPolicy/shop/cart": plans.Update,
		"ServiceEntry/shop/ledger": plans.Skip, "DestinationRule/shop/cart": plans.Skip, "AuthorizationPolicy/shop/stock": plans.Skip,
	}
	if diff := cmp.Diff(want, plantest.Verbs(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if result := k.sync(second); result.Wrote() != 5 || result.Drifted != 0 {
		t.Errorf("the first run: %+v", result)
	}
	spec := istiotest.Spec(c.get(cart))
	if !cmp.Equal(spec["exportTo"], []any{"app", "pay", "web"}) || len(nested.List(spec, "endpoints")) != 3 {
		t.Errorf("the entry: %v", spec)
	}
	granted := istiotest.Spec(c.get(istiotest.AuthorizationPolicy("cart", "cart", "ALLOW")))
	if !strings.Contains(nested.JSON(granted), `["spiffe/app","spiffe/ledger","spiffe/web"]`) {
		t.Errorf("the policy: %v", granted)
	}
	if ports := nested.List(istiotest.Spec(c.get(more)), "ports"); len(ports) != 2 {
		t.Errorf("the stub: %v", ports)
	}
	for _, kept := range []*unstructured.Unstructured{istiotest.ServiceEntry("shop", "ledger"), istiotest.DestinationRule("shop", "cart")} {
		if !c.exists(kept) {
			t.Errorf("%s is gone", render.KeyOf(kept))
		}
	}

	// The second run has nothing to do, and neither has that of a new process.
	for _, run := range []*testController{k, c.start()} {
		run.options.AdditiveOnly = plantest.Unknown
		before := run.look()
		if plan := run.plan(second); plan.Writes() || plan.Unchanged != 5 || len(before.Objects) == 0 {
			t.Errorf("the next run: %v, unchanged %d", plantest.Verbs(plan), plan.Unchanged)
		}
	}

	// Drift is put right all the while.
	c.patch(cart, `{"spec":{"exportTo":["pay"]}}`)
	plan = k.planUntil(second, "the edit is seen", func(p plans.Plan) bool { return p.Count(plans.Update) == 1 })
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	if spec := istiotest.Spec(c.get(cart)); !cmp.Equal(spec["exportTo"], []any{"app", "pay", "web"}) {
		t.Errorf("after the edit: %v", spec)
	}

	k.options.AdditiveOnly, k.options.MaxPrunePercent = nil, 100
	if result := k.sync(second); result.Drifted != 0 || result.Deleted != 2 || result.Created != 1 || result.Updated != 3 {
		t.Errorf("when all is known: %+v", result)
	}
	c.equal(second)
}
