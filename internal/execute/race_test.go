package execute

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// failures returns the classes of what failed, by key.
func failures(result Result) map[string]Class {
	out := map[string]Class{}
	for _, outcome := range result.Outcomes {
		if outcome.Failure != nil {
			out[outcome.Action.Key.String()] = outcome.Failure.Class
		}
	}
	return out
}

func TestRacesAreLostCleanly(t *testing.T) {
	first := []*unstructured.Unstructured{istiotest.VirtualService("shop", "cart", "5s"), istiotest.DestinationRule("shop", "old")}
	tests := map[string]struct {
		reason string
		second []*unstructured.Unstructured
		race   func(*testCluster)
		class  map[string]Class
		check  func(*testing.T, *testCluster)
		// refused is set where the race leaves something that is never taken over.
		refused bool
		// theirs is set where the race leaves something that is not ours any more.
		theirs bool
	}{
		"edited before the PUT": {
			reason: "the edit is seen before it is overwritten",
			second: []*unstructured.Unstructured{istiotest.VirtualService("shop", "cart", "6s"), istiotest.DestinationRule("shop", "old")},
			race:   func(c *testCluster) { c.patch(first[0], `{"metadata":{"labels":{"theirs":"1"}}}`) },
			class:  map[string]Class{"VirtualService/shop/cart": Conflict},
			check: func(t *testing.T, c *testCluster) {
				if c.get(first[0]).GetLabels()["theirs"] != "1" {
					t.Error("their label was lost")
				}
			},
		},
		"deleted before the PUT": {
			reason: "a PUT does not bring it back",
			second: []*unstructured.Unstructured{istiotest.VirtualService("shop", "cart", "6s"), istiotest.DestinationRule("shop", "old")},
			race:   func(c *testCluster) { c.remove(first[0]) },
			class:  map[string]Class{"VirtualService/shop/cart": Conflict},
		},
		"foreign object appears before the POST": {
			reason: "it is neither merged into nor replaced",
			second: []*unstructured.Unstructured{first[0], istiotest.DestinationRule("shop", "old"), istiotest.DestinationRule("shop", "new")},
			race: func(c *testCluster) {
				theirs := istiotest.DestinationRule("shop", "new")
				theirs.SetLabels(nil)
				c.make(theirs, "kubectl-create")
			},
			class:   map[string]Class{"DestinationRule/shop/new": Appeared},
			refused: true,
			check: func(t *testing.T, c *testCluster) {
				if len(c.get(istiotest.DestinationRule("shop", "new")).GetLabels()) != 0 {
					t.Error("it was touched")
				}
			},
		},
		"edited before the DELETE": {
			reason: "whoever edits it may have taken it over",
			second: []*unstructured.Unstructured{first[0]},
			race:   func(c *testCluster) { c.patch(first[1], `{"metadata":{"labels":{"`+ownership.LabelPartOf+`":null}}}`) },
			class:  map[string]Class{"DestinationRule/shop/old": Conflict},
			check: func(t *testing.T, c *testCluster) {
				if !c.exists(first[1]) {
					t.Error("it was deleted")
				}
			},
			theirs: true,
		},
		"deleted before the DELETE": {
			reason: "gone is gone",
			second: []*unstructured.Unstructured{first[0]},
			race:   func(c *testCluster) { c.remove(first[1]) },
			class:  map[string]Class{},
		},
		"made anew by a person before the DELETE": {
			reason: "another object of the same name is not the one that was to go",
			second: []*unstructured.Unstructured{first[0]},
			race: func(c *testCluster) {
				c.remove(first[1])
				c.make(istiotest.DestinationRule("shop", "old"), "kubectl-create")
			},
			class: map[string]Class{"DestinationRule/shop/old": Conflict},
			check: func(t *testing.T, c *testCluster) {
				if !c.exists(first[1]) {
					t.Error("it was deleted")
				}
			},
			theirs: true,
		},
		"we made it ourselves and forgot": {
			reason: "as after a kill: what is there is ours",
			second: []*unstructured.Unstructured{first[0], istiotest.DestinationRule("shop", "old"), istiotest.DestinationRule("shop", "new")},
			race: func(c *testCluster) {
				c.make(merge.CreateBody(istiotest.DestinationRule("shop", "new"), c.owner.ID), ownership.FieldManager)
			},
			class: map[string]Class{"DestinationRule/shop/new": Conflict},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			k.sync(istiotest.Bundle(first...))
			bundle := istiotest.Bundle(test.second...)
			k.options.MaxPrunePercent = 100
			plan := k.plan(bundle)
			test.race(c)
			result, err := k.apply(plan)
			if diff := cmp.Diff(test.class, failures(result)); diff != "" {
				t.Errorf("%s: failures (-want +got):\n%s", test.reason, diff)
			}
			if (err != nil) != (len(test.class) > 0) {
				t.Errorf("%s: error %v", test.reason, err)
			}
			for key := range test.class {
				if !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "nothing was changed") {
					t.Errorf("the error does not say what failed and what was left alone: %v", err)
				}
			}
			if test.check != nil {
				test.check(t, c)
			}
			if test.refused {
				k.planUntil(bundle, "it is refused from now on", func(p plans.Plan) bool { return !p.Writes() && p.Count(plans.Refuse) == 1 })
				return
			}
			k.until(test.reason+": it converges", func() bool {
				_, err := k.apply(k.plan(bundle))
				return err == nil && !k.plan(bundle).Writes()
			})
			if !test.theirs {
				c.equal(bundle)
			}
		})
	}
}

func TestClaimAppliesOnlyToTheObservedObject(t *testing.T) {
	tests := map[string]struct {
		reason string
		race   func(*testCluster, *unstructured.Unstructured)
		exists bool
	}{
		"deleted": {"an apply would make an object of nothing but a label", func(c *testCluster, o *unstructured.Unstructured) { c.remove(o) }, false},
		"edited":  {"it may not equal the bundle any more", func(c *testCluster, o *unstructured.Unstructured) { c.patch(o, `{"spec":{"exportTo":["."]}}`) }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			restored := c.make(merge.CreateBody(istiotest.DestinationRule("shop", "cart"), c.owner.ID), "velero-server")
			k := c.start()
			plan := k.plan(istiotest.Bundle(istiotest.DestinationRule("shop", "cart")))
			if plan.Count(plans.Claim) != 1 {
				t.Fatalf("not a claim: %v", plantest.Verbs(plan))
			}
			test.race(c, restored)
			result, _ := k.apply(plan)
			if diff := cmp.Diff(map[string]Class{"DestinationRule/shop/cart": Conflict}, failures(result)); diff != "" {
				t.Errorf("%s: failures (-want +got):\n%s", test.reason, diff)
			}
			if c.exists(restored) != test.exists {
				t.Errorf("%s: exists: %v", test.reason, !test.exists)
			}
		})
	}
}

func TestFailureStopsLaterKindsOfTheServiceAndAllDeletions(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	k.sync(istiotest.Bundle(istiotest.DestinationRule("shop", "stale")))

	bad := istiotest.ServiceEntry("shop", "cart", "192.0.2.1")
	bad.Object["spec"].(map[string]any)["nonsense"] = true
	next := istiotest.Bundle(bad, istiotest.VirtualService("shop", "cart", "5s"), istiotest.ServiceEntry("shop", "ledger", "192.0.2.1"), istiotest.VirtualService("shop", "ledger", "5s"))
	k.options.MaxPrunePercent = 100
	result, err := k.apply(k.plan(next))
	if err == nil || !strings.Contains(err.Error(), "service cart") {
		t.Fatalf("the error does not name the service: %v", err)
	}
	if diff := cmp.Diff(map[string]Class{"ServiceEntry/shop/cart": Invalid}, failures(result)); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if result.Created != 2 || result.Skipped != 2 || result.Failed != 1 {
		t.Errorf("%+v", result)
	}
	if c.exists(istiotest.VirtualService("shop", "cart", "")) || !c.exists(istiotest.VirtualService("shop", "ledger", "")) || !c.exists(istiotest.DestinationRule("shop", "stale")) {
		t.Error("the route of cart must wait, that of ledger must not, and nothing may be deleted")
	}
	var failed *Failure
	if !errors.As(err, &failed) || failed.Class.Temporary() {
		t.Errorf("not a failure that waits for a person: %v", err)
	}
}

func TestInterruptedRunStopsWriting(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	plan := k.plan(istiotest.Bundle(istiotest.Services("a", "b")...))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the time was up"))
	before := k.requests.Load()
	result, err := k.applier.Apply(ctx, plan)
	if err == nil || !strings.Contains(err.Error(), "the time was up") || result.Skipped != 6 || k.requests.Load() != before {
		t.Errorf("%v, %+v", err, result)
	}
}

func TestMissingPermissionsAreNamed(t *testing.T) {
	c := newCluster(t)
	groups := []string{"networking.istio.io", "security.istio.io", "telemetry.istio.io"}
	read := []string{"list", "watch", "get"}
	core := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces", "services"}, Verbs: read}

	t.Run("write", func(t *testing.T) {
		config, err := server(t, "full").AddUser(t.Context(), "reader", core,
			rbacv1.PolicyRule{APIGroups: groups, Resources: []string{"*"}, Verbs: read},
			rbacv1.PolicyRule{APIGroups: groups, Resources: []string{"serviceentries"}, Verbs: []string{"create"}})
		if err != nil {
			t.Fatal(err)
		}
		k := c.startAs(config)
		bundle := istiotest.Bundle(istiotest.Services("cart")...)
		bundle.Namespaces = []string{"shop", "unmade"}
		result, err := k.apply(k.plan(bundle))
		if diff := cmp.Diff(map[string]Class{"DestinationRule/shop/cart": Forbidden}, failures(result)); diff != "" {
			t.Errorf("failures (-want +got):\n%s", diff)
		}
		if err == nil || !strings.Contains(err.Error(), "namespace unmade") || !strings.Contains(err.Error(), "role") {
			t.Errorf("the error does not say what is to be done: %v", err)
		}
	})
	t.Run("watch", func(t *testing.T) {
		config, err := server(t, "full").AddUser(t.Context(), "half-blind", core,
			rbacv1.PolicyRule{APIGroups: []string{"networking.istio.io"}, Resources: []string{"gateways"}, Verbs: read})
		if err != nil {
			t.Fatal(err)
		}
		k := c.startAs(config)
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		k.until("every kind was tried", func() bool {
			_, err = k.live.Snapshot(ctx)
			return err != nil && strings.Contains(err.Error(), "telemetries.telemetry.istio.io") &&
				strings.Contains(err.Error(), "virtualservices.networking.istio.io")
		})
		if strings.Contains(err.Error(), "gateways") || strings.Contains(err.Error(), "services,") {
			t.Errorf("names a kind that may be watched: %v", err)
		}
	})
}

func TestKindWithoutCRDIsNamedAndUsedWhenItAppears(t *testing.T) {
	full := newCluster(t)
	bare := &testCluster{t: t, config: server(t, "bare").Config, owner: full.owner}
	bare.admin = bare.connect(bare.config)
	bare.namespace("shop", nil)
	crds := istio.CRDs()
	early := crds[:0:0]
	late := crds[:0:0]
	for _, crd := range crds {
		if crd.Spec.Names.Kind == "VirtualService" || crd.Spec.Names.Kind == "Telemetry" {
			late = append(late, crd)
			continue
		}
		early = append(early, crd)
	}
	if err := server(t, "bare").Install(early); err != nil {
		t.Fatal(err)
	}

	k := bare.start()
	view := k.look()
	var missing []string
	for _, kind := range view.Missing {
		missing = append(missing, kind.Kind)
	}
	if diff := cmp.Diff([]string{"VirtualService", "Telemetry"}, missing); diff != "" {
		t.Errorf("missing kinds (-want +got):\n%s", diff)
	}
	bundle := istiotest.Bundle(istiotest.Services("cart")...)
	plan := k.plan(bundle)
	if got := plantest.Verbs(plan)["VirtualService/shop/cart"]; got != plans.Refuse || !strings.Contains(plan.Actions[len(plan.Actions)-1].Reason.String(), "CRD") {
		t.Errorf("the missing kind is not refused: %v", plantest.Verbs(plan))
	}
	if result, err := k.apply(plan); err != nil || result.Created != 2 {
		t.Errorf("the other kinds were not applied: %v %+v", err, result)
	}

	// A view that is behind, or a CRD that is removed meanwhile.
	view.Missing = nil
	result, err := k.apply(plans.Make(istiotest.Bundle(istiotest.VirtualService("shop", "cart", "5s")), clustercache.State{Namespaces: view.Namespaces}, k.options))
	if diff := cmp.Diff(map[string]Class{"VirtualService/shop/cart": NoSuchKind}, failures(result)); diff != "" {
		t.Errorf("failures (-want +got):\n%s\n%v", diff, err)
	}

	if err := server(t, "bare").Install(late); err != nil {
		t.Fatal(err)
	}
	k.until("the new kind wakes the controller", func() bool {
		for len(k.woken) > 0 {
			if key := <-k.woken; key.Kind == "VirtualService" && key.Name == "" {
				return true
			}
		}
		return false
	})
	k.planUntil(bundle, "the kind is taken up", func(p plans.Plan) bool { return p.Count(plans.Create) == 1 })
	k.sync(bundle)
}

func TestSnapshotEndsWithItsContext(t *testing.T) {
	c := newCluster(t)
	config := rest.CopyConfig(c.config)
	config.Wrap(killAfter(-1, false, &atomic.Int64{}))
	k := c.startAs(config)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := k.live.Snapshot(ctx)
	if err == nil || !strings.Contains(err.Error(), istio.Kinds[0].Resource+" could not be listed") || !strings.Contains(err.Error(), errKilled.Error()) {
		t.Errorf("the error does not say what could not be listed, and why: %v", err)
	}
}
