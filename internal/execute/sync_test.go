package execute

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestFirstSyncUpdateAndPrune(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	first := istiotest.Bundle(istiotest.Services("cart", "checkout")...)

	result := k.sync(first)
	if result.Created != 6 || result.Wrote() != 6 {
		t.Errorf("first sync: %+v", result)
	}
	c.equal(first)

	// At once, without waiting for the watch: our own writes are known.
	if plan := k.plan(first); len(plan.Actions) != 0 || plan.Unchanged != 6 {
		t.Errorf("the plan right after the first sync is not empty: %v", plantest.Verbs(plan))
	}

	changed := istiotest.VirtualService("shop", "cart", "7s")
	second := istiotest.Bundle(append(istiotest.Service("checkout"), istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), changed)...)
	plan := k.plan(second)
	want := map[string]plans.Verb{"VirtualService/shop/cart": plans.Update, "DestinationRule/shop/cart": plans.Delete}
	if diff := cmp.Diff(want, plantest.Verbs(plan)); diff != "" {
		t.Errorf("plan of the second commit (-want +got):\n%s", diff)
	}
	if plan.Drifted() != 0 {
		t.Error("a commit counts as drift")
	}
	if diff := cmp.Diff([]string{"spec.http[0].timeout"}, plan.Actions[0].Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	before := c.all()
	result = k.sync(second)
	if result.Updated != 1 || result.Deleted != 1 || result.Wrote() != 2 || result.Unchanged != 4 {
		t.Errorf("second sync: %+v", result)
	}
	c.equal(second)
	for key, object := range c.all() {
		if key != render.KeyOf(changed) && object.GetResourceVersion() != before[key].GetResourceVersion() {
			t.Errorf("%s did not change and was written", key)
		}
	}
	if plan := k.plan(second); plan.Writes() {
		t.Errorf("the plan right after the second sync is not empty: %v", plantest.Verbs(plan))
	}
}

func TestLastObjectOfAKindIsPrunedAfterRestart(t *testing.T) {
	c := newCluster(t)
	both := istiotest.Bundle(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.VirtualService("shop", "cart", "5s"))
	c.start().sync(both)

	rest := istiotest.Bundle(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"))
	if result := c.start().sync(rest); result.Deleted != 1 {
		t.Errorf("after the restart: %+v", result)
	}
	c.equal(rest)
}

func TestForeignObjectIsRefusedAndOldObjectsOfItsServiceStay(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	k.sync(istiotest.Bundle(istiotest.DestinationRule("shop", "cart"), istiotest.DestinationRule("shop", "checkout")))

	foreign := c.make(istiotest.VirtualService("shop", "cart", "1s"), "kubectl-create")
	next := istiotest.Bundle(istiotest.VirtualService("shop", "cart", "5s"), istiotest.VirtualService("shop", "checkout", "5s"))
	plan := k.planUntil(next, "the foreign object is seen", func(p plans.Plan) bool { return p.Count(plans.Refuse) == 1 })
	want := map[string]plans.Verb{
		"VirtualService/shop/cart": plans.Refuse, "DestinationRule/shop/cart": plans.Skip,
		"VirtualService/shop/checkout": plans.Create, "DestinationRule/shop/checkout": plans.Delete,
	}
	if diff := cmp.Diff(want, plantest.Verbs(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	if got := c.get(foreign); got.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("the foreign object was touched")
	}
	if !c.exists(istiotest.DestinationRule("shop", "cart")) || c.exists(istiotest.DestinationRule("shop", "checkout")) {
		t.Error("the old rule of cart must stay while its successor is refused, that of checkout must go")
	}
}

func TestDriftIsCorrected(t *testing.T) {
	wanted := istiotest.WithLabels(istiotest.WithAnnotations(istiotest.VirtualService("shop", "cart", "5s"), map[string]string{"team": "shop"}), map[string]string{"tier": "gold"})
	tests := map[string]struct {
		reason string
		patch  string
		verb   plans.Verb
		fields []string
	}{
		"field changed":      {"the oldest kind of drift", `{"spec":{"http":[{"timeout":"9s","route":[{"destination":{"host":"cart.shop.example.com"},"weight":100}]}]}}`, plans.Update, []string{"spec.http[0].timeout"}},
		"field added":        {"a field that we do not set changes traffic as well", `{"spec":{"exportTo":["."]}}`, plans.Update, []string{"spec.exportTo"}},
		"spec removed":       {"all of spec is ours", `{"spec":null}`, plans.Update, []string{"spec"}},
		"part-of removed":    {"the manager alone lets us put the label back", `{"metadata":{"labels":{"` + ownership.LabelPartOf + `":null}}}`, plans.Update, []string{"metadata.labels." + ownership.LabelPartOf}},
		"label changed":      {"labels of the bundle are ours", `{"metadata":{"labels":{"tier":"silver"}}}`, plans.Update, []string{"metadata.labels.tier"}},
		"annotation removed": {"annotations of the bundle are ours", `{"metadata":{"annotations":{"team":null}}}`, plans.Update, []string{"metadata.annotations.team"}},
		"object deleted":     {"absent is drift too", "", plans.Create, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			bundle := istiotest.Bundle(wanted)
			k.sync(bundle)
			if test.patch == "" {
				c.remove(wanted)
			} else {
				c.patch(wanted, test.patch)
			}

			if key := k.wake(); key != render.KeyOf(wanted) {
				t.Errorf("woken for %s", key)
			}
			plan := k.planUntil(bundle, "the drift is seen", plans.Plan.Writes)
			action := plan.Actions[0]
			if action.Verb != test.verb || !action.Drift {
				t.Errorf("%s: %s, drift %v", test.reason, action.Verb, action.Drift)
			}
			if diff := cmp.Diff(test.fields, action.Fields); diff != "" {
				t.Errorf("%s: fields (-want +got):\n%s", test.reason, diff)
			}
			result, err := k.apply(plan)
			if err != nil {
				t.Fatal(err)
			}
			if result.Drifted != 1 {
				t.Errorf("%s: drifted %d", test.reason, result.Drifted)
			}
			c.equal(bundle)
		})
	}
}

func TestMetadataOfOthersStaysAndOursIsRemoved(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	bare := istiotest.VirtualService("shop", "cart", "5s")
	k.sync(istiotest.Bundle(istiotest.WithAnnotations(istiotest.WithLabels(bare, map[string]string{"tier": "gold", "kept": "yes"}), map[string]string{"team": "shop"})))
	c.patch(bare, `{"metadata":{"labels":{"theirs":"1"},"annotations":{"theirs":"2"},"finalizers":["example.com/theirs"]}}`)
	status := c.get(bare)
	status.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Reconciled", "status": "True"}}}
	if _, err := c.of(bare).UpdateStatus(t.Context(), status, metav1.UpdateOptions{FieldManager: "pilot-discovery"}); err != nil {
		t.Fatal(err)
	}

	next := istiotest.Bundle(istiotest.WithLabels(istiotest.VirtualService("shop", "cart", "6s"), map[string]string{"kept": "yes"}))
	k.until("the watch brings their changes", func() bool {
		for _, object := range k.look().Objects {
			if len(object.GetFinalizers()) > 0 {
				return true
			}
		}
		return false
	})
	plan := k.plan(next)
	want := []string{"metadata.annotations.team", "metadata.labels.tier", "spec.http[0].timeout"}
	if diff := cmp.Diff(want, plan.Actions[0].Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	k.until("written although the status changes meanwhile", func() bool {
		_, err := k.apply(k.plan(next))
		return err == nil
	})
	c.equal(next)
	live := c.get(bare)
	labels, annotations := live.GetLabels(), live.GetAnnotations()
	if labels["theirs"] != "1" || annotations["theirs"] != "2" || len(live.GetFinalizers()) != 1 {
		t.Errorf("what others added is gone: labels %v, annotations %v, finalizers %v", labels, annotations, live.GetFinalizers())
	}
	if labels["tier"] != "" || annotations["team"] != "" || labels["kept"] != "yes" {
		t.Errorf("what was ours and left the bundle is still there, or what stayed is gone: %v %v", labels, annotations)
	}
	if _, found, _ := unstructured.NestedSlice(live.Object, "status", "conditions"); !found {
		t.Error("the status is gone")
	}
	if got := managers(live); len(got) < 3 {
		t.Errorf("the managedFields of others are gone: %v", got)
	}
}

func TestStatusChangeTriggersNoReconcile(t *testing.T) {
	c := newCluster(t)
	watched, marker := istiotest.VirtualService("shop", "cart", "5s"), istiotest.VirtualService("shop", "marker", "5s")
	c.start().sync(istiotest.Bundle(watched, marker))
	// Another one, so that no echo of our own write is under way.
	k := c.start()
	k.look()
	status := c.get(watched)
	status.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Reconciled", "status": "True"}}}
	if _, err := c.of(status).UpdateStatus(t.Context(), status, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Events of one kind come in order, so whatever wakes before this one is due to the status.
	c.remove(marker)
	if key := k.wake(); key != render.KeyOf(marker) {
		t.Errorf("woken by the status of %s", key)
	}
}

func TestSteadyClusterCostsNoRequest(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	bundle := istiotest.Bundle(istiotest.Services("cart", "checkout", "ledger")...)
	bundle.Namespaces = []string{"shop"}
	c.make(istiotest.VirtualService("pay", "foreign", "1s"), "kubectl-create")
	k.sync(bundle)
	k.sync(bundle)
	k.until("every kind, and the namespaces, are watched", func() bool { return k.watches.Load() > int64(len(istio.Kinds)) })
	before := k.requests.Load()
	for range 50 {
		plan := k.plan(bundle)
		if plan.Writes() || plan.Unchanged != 9 {
			t.Fatalf("not at rest: %v", plantest.Verbs(plan))
		}
		if _, err := k.apply(plan); err != nil {
			t.Fatal(err)
		}
	}
	if sent := k.requests.Load() - before; sent != 0 {
		t.Errorf("%d requests at rest", sent)
	}
}
