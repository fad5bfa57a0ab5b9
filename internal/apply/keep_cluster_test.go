package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestWhatIsKeptOnAClusterGoesWhenAllIsKnown(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	cart := exported(entry("shop", "cart", "192.0.2.1", "192.0.2.2"), "pay", "web")
	first := bundleOf(cart, rule("shop", "cart"), route("shop", "cart", "5s"), entry("shop", "ledger", "192.0.2.1"),
		stub(t, "shop", "cart"), policy("cart", "cart", "ALLOW", "spiffe/ledger", "spiffe/web"))
	k.sync(first)

	more := stub(t, "shop", "cart")
	specOf(more)["ports"] = []any{map[string]any{"name": "grpc", "port": int64(9000), "protocol": "TCP", "targetPort": int64(9000)}}
	second := bundleOf(exported(entry("shop", "cart", "192.0.2.1", "192.0.2.3"), "app", "web"), route("shop", "cart", "7s"), route("shop", "new", "1s"),
		more, policy("cart", "cart", "ALLOW", "spiffe/app", "spiffe/web"), policy("stock", "stock", "ALLOW", "spiffe/web"))
	k.options.Keep = lost
	plan := k.plan(second)
	want := map[string]Verb{
		"Service/shop/cart": Update, "ServiceEntry/shop/cart": Update, "VirtualService/shop/cart": Update, "VirtualService/shop/new": Create, "AuthorizationPolicy/shop/cart": Update,
		"ServiceEntry/shop/ledger": Hold, "DestinationRule/shop/cart": Hold, "AuthorizationPolicy/shop/stock": Hold,
	}
	if diff := cmp.Diff(want, verbs(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if result := k.sync(second); result.Wrote() != 5 || result.Drifted != 0 {
		t.Errorf("the first run: %+v", result)
	}
	spec := specOf(c.get(cart))
	if !cmp.Equal(spec["exportTo"], []any{"app", "pay", "web"}) || len(listOf(spec, "endpoints")) != 3 {
		t.Errorf("the entry: %v", spec)
	}
	granted := specOf(c.get(policy("cart", "cart", "ALLOW")))
	if !strings.Contains(text(granted), `["spiffe/app","spiffe/ledger","spiffe/web"]`) {
		t.Errorf("the policy: %v", granted)
	}
	if ports := listOf(specOf(c.get(more)), "ports"); len(ports) != 2 {
		t.Errorf("the stub: %v", ports)
	}
	for _, kept := range []*unstructured.Unstructured{entry("shop", "ledger"), rule("shop", "cart")} {
		if !c.exists(kept) {
			t.Errorf("%s is gone", keyOf(kept))
		}
	}

	// The second run has nothing to do, and neither has that of a new process.
	for _, run := range []*controller{k, c.start()} {
		run.options.Keep = lost
		before := run.look()
		if plan := run.plan(second); plan.Writes() || plan.Unchanged != 5 || len(before.Objects) == 0 {
			t.Errorf("the next run: %v, unchanged %d", verbs(plan), plan.Unchanged)
		}
	}

	// Drift is put right all the while.
	c.patch(cart, `{"spec":{"exportTo":["pay"]}}`)
	plan = k.planUntil(second, "the edit is seen", func(p Plan) bool { return p.Count(Update) == 1 })
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	if spec := specOf(c.get(cart)); !cmp.Equal(spec["exportTo"], []any{"app", "pay", "web"}) {
		t.Errorf("after the edit: %v", spec)
	}

	k.options.Keep, k.options.MaxPrunePercent = "", 100
	if result := k.sync(second); result.Drifted != 0 || result.Deleted != 2 || result.Created != 1 || result.Updated != 3 {
		t.Errorf("when all is known: %+v", result)
	}
	c.equal(second)
}
