package execute

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestLifecycleOfStubService(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	wanted := istiotest.StubService(t, "shop", "cart")
	bundle := istiotest.Bundle(wanted, istiotest.StubService(t, "shop", "stock"))
	if result := k.sync(bundle); result.Created != 2 {
		t.Errorf("first sync: %+v", result)
	}
	c.equal(bundle)
	made := c.get(wanted)
	address, _ := istiotest.Spec(made)["clusterIP"].(string)
	if address == "" || address == "None" {
		t.Fatalf("the API server allots no address: %v", istiotest.Spec(made))
	}
	if plan := k.plan(bundle); plan.Writes() || plan.Unchanged != 2 {
		t.Errorf("the plan right after the first sync is not empty: %v", plantest.Verbs(plan))
	}
	// Read by a watch, and not as the answer to our own write.
	k = c.start()
	if plan := k.plan(bundle); plan.Writes() || plan.Unchanged != 2 {
		t.Errorf("the plan after a restart is not empty: %v", plantest.Verbs(plan))
	}

	more := wanted.DeepCopy()
	istiotest.Spec(more)["ports"] = []any{map[string]any{"name": "http", "port": int64(8080), "protocol": "TCP", "targetPort": int64(8080)}}
	changed := istiotest.Bundle(more, istiotest.StubService(t, "shop", "stock"))
	if result := k.sync(changed); result.Updated != 1 || result.Wrote() != 1 {
		t.Errorf("a commit that changes a port: %+v", result)
	}
	c.equal(changed)
	if now := c.get(wanted); istiotest.Spec(now)["clusterIP"] != address || now.GetUID() != made.GetUID() {
		t.Errorf("the address was %s and is %v", address, istiotest.Spec(now)["clusterIP"])
	}

	rest := istiotest.Bundle(istiotest.StubService(t, "shop", "stock"))
	if result := k.sync(rest); result.Deleted != 1 || result.Wrote() != 1 {
		t.Errorf("a commit without the stub: %+v", result)
	}
	c.equal(rest)
}

func TestDriftOfStubServiceIsCorrectedAndKeepsItsAddress(t *testing.T) {
	tests := map[string]struct {
		reason string
		patch  string
		fields []string
		// readdressed is set where the person's change itself costs the address.
		readdressed bool
	}{
		"selector added":   {"it would take the traffic to pods of this person's choice", `{"spec":{"selector":{"app":"mine"}}}`, []string{"spec.selector"}, false},
		"port changed":     {"callers use the one of the repository", `{"spec":{"ports":[{"name":"http","port":81,"protocol":"TCP","appProtocol":"http","targetPort":81}]}}`, []string{"spec.ports[0].port", "spec.ports[0].targetPort"}, false},
		"port added":       {"the list is ours", `{"spec":{"ports":[{"name":"http","port":80,"protocol":"TCP","appProtocol":"http","targetPort":80},{"name":"debug","port":81}]}}`, []string{"spec.ports"}, false},
		"protocol changed": {"Istio reads it", `{"spec":{"ports":[{"name":"http","port":80,"protocol":"TCP","appProtocol":"tcp","targetPort":80}]}}`, []string{"spec.ports[0].appProtocol"}, false},
		"target changed":   {"a default is as much ours", `{"spec":{"ports":[{"name":"http","port":80,"protocol":"TCP","appProtocol":"http","targetPort":8080}]}}`, []string{"spec.ports[0].targetPort"}, false},
		"on every node":    {"with it go the node ports that the API server allotted", `{"spec":{"type":"NodePort"}}`, []string{"spec.externalTrafficPolicy", "spec.ports[0].nodePort", "spec.type"}, false},
		"load balancer": {
			"the fields that came with the type go with it", `{"spec":{"type":"LoadBalancer"}}`,
			[]string{"spec.allocateLoadBalancerNodePorts", "spec.externalTrafficPolicy", "spec.ports[0].nodePort", "spec.type"},
			false,
		},
		"alias":             {"a name that leads elsewhere; the API server takes the address away", `{"spec":{"type":"ExternalName","externalName":"other.example.com"}}`, []string{"spec.externalName", "spec.type"}, true},
		"session affinity":  {"a default is as much ours", `{"spec":{"sessionAffinity":"ClientIP"}}`, []string{"spec.sessionAffinity", "spec.sessionAffinityConfig"}, false},
		"only local":        {"a default is as much ours", `{"spec":{"internalTrafficPolicy":"Local"}}`, []string{"spec.internalTrafficPolicy"}, false},
		"service label":     {"labels of the bundle are ours", `{"metadata":{"labels":{"isthmus.dev/service":"other"}}}`, []string{"metadata.labels.isthmus.dev/service"}, false},
		"part-of removed":   {"the manager alone lets us put the label back", `{"metadata":{"labels":{"` + ownership.LabelPartOf + `":null}}}`, []string{"metadata.labels." + ownership.LabelPartOf}, false},
		"selector and type": {"several at once take one write", `{"spec":{"type":"NodePort","selector":{"app":"mine"}}}`, []string{"spec.externalTrafficPolicy", "spec.ports[0].nodePort", "spec.selector", "spec.type"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			wanted := istiotest.StubService(t, "shop", "cart")
			bundle := istiotest.Bundle(wanted)
			k.sync(bundle)
			before := c.get(wanted)
			c.patch(wanted, test.patch)

			if key := k.wake(); key != render.KeyOf(wanted) {
				t.Errorf("woken for %s", key)
			}
			plan := k.planUntil(bundle, "the drift is seen", plans.Plan.Writes)
			if action := plan.Actions[0]; action.Verb != plans.Update || !action.Drift {
				t.Errorf("%s: %s, drift %v", test.reason, action.Verb, action.Drift)
			}
			if diff := cmp.Diff(test.fields, plan.Actions[0].Fields); diff != "" {
				t.Errorf("%s: fields (-want +got):\n%s", test.reason, diff)
			}
			if result, err := k.apply(plan); err != nil || result.Updated != 1 {
				t.Fatalf("%s: %+v, %v", test.reason, result, err)
			}
			c.equal(bundle)
			after := c.get(wanted)
			if !test.readdressed {
				if diff := cmp.Diff(istiotest.Spec(before), istiotest.Spec(after)); diff != "" {
					t.Errorf("%s: spec, what was allotted included (-before +after):\n%s", test.reason, diff)
				}
			}
			if address, _ := istiotest.Spec(after)["clusterIP"].(string); address == "" || after.GetUID() != before.GetUID() {
				t.Errorf("%s: address %q, made anew %v", test.reason, address, after.GetUID() != before.GetUID())
			}
			if plan := k.plan(bundle); plan.Writes() {
				t.Errorf("%s: it is written again: %v", test.reason, plantest.Verbs(plan))
			}
		})
	}
}

func TestDeletedStubServiceIsCreatedAgain(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	wanted := istiotest.StubService(t, "shop", "cart")
	bundle := istiotest.Bundle(wanted)
	k.sync(bundle)
	c.remove(wanted)
	plan := k.planUntil(bundle, "the deletion is seen", plans.Plan.Writes)
	if action := plan.Actions[0]; action.Verb != plans.Create || !action.Drift {
		t.Errorf("%s, drift %v", action.Verb, action.Drift)
	}
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	c.equal(bundle)
}

func TestAddressFamiliesOfStubServiceAreThoseOfTheCluster(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	wanted := istiotest.StubService(t, "shop", "cart")
	bundle := istiotest.Bundle(wanted)
	k.sync(bundle)
	c.patch(wanted, `{"spec":{"ipFamilyPolicy":"PreferDualStack"}}`)
	k.wake()
	if plan := k.plan(bundle); plan.Writes() {
		t.Errorf("it is taken for drift: %v, %v", plantest.Verbs(plan), plan.Actions[0].Fields)
	}
	// A write for another reason keeps it.
	c.patch(wanted, `{"spec":{"selector":{"app":"mine"}}}`)
	if _, err := k.apply(k.planUntil(bundle, "the selector is seen", plans.Plan.Writes)); err != nil {
		t.Fatal(err)
	}
	c.equal(bundle)
	if policy := istiotest.Spec(c.get(wanted))["ipFamilyPolicy"]; policy != "PreferDualStack" {
		t.Errorf("the policy is %v", policy)
	}
}

func TestForeignServiceIsRefusedAndNotCached(t *testing.T) {
	c := newCluster(t)
	theirs := istiotest.Object("Service", "shop", "cart", "", map[string]any{
		"selector": map[string]any{"app": "cart"}, "ports": []any{map[string]any{"port": int64(80)}},
	})
	theirs.SetLabels(map[string]string{"app": "cart"})
	theirs = c.make(theirs, "kubectl-create")
	k := c.start()
	bundle := istiotest.Bundle(istiotest.StubService(t, "shop", "cart"), istiotest.StubService(t, "shop", "stock"))

	for _, object := range k.look().Objects {
		want := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service"}}
		want.SetNamespace(object.GetNamespace())
		want.SetName(object.GetName())
		want.SetUID(object.GetUID())
		want.SetResourceVersion(object.GetResourceVersion())
		if diff := cmp.Diff(want.Object, object.Object); diff != "" {
			t.Errorf("more than the key is kept of %s (-want +got):\n%s", render.KeyOf(object), diff)
		}
	}
	plan := k.plan(bundle)
	want := map[string]plans.Verb{"Service/shop/cart": plans.Refuse, "Service/shop/stock": plans.Create}
	if diff := cmp.Diff(want, plantest.Verbs(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	for _, action := range plan.Actions {
		if action.Verb == plans.Refuse && !strings.Contains(action.Reason.String(), "did not write") {
			t.Errorf("the reason: %s", action.Reason)
		}
	}
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	if now := c.get(theirs); now.GetResourceVersion() != theirs.GetResourceVersion() {
		t.Error("the foreign Service was touched")
	}
	// Nor is it, when nothing of the repository has that name any more.
	k.options.MaxPrunePercent = 100
	k.sync(istiotest.Bundle(istiotest.ServiceEntry("shop", "other", "192.0.2.1")))
	if now := c.get(theirs); now.GetResourceVersion() != theirs.GetResourceVersion() || c.exists(istiotest.StubService(t, "shop", "stock")) {
		t.Error("the foreign Service was touched, or the stub stayed")
	}
}

// API servers of today keep what a PUT leaves out, which older ones refused: the address is immutable.
func TestUpdateKeepsServerAssignedFields(t *testing.T) {
	desired := istiotest.StubService(t, "shop", "cart")
	live := desired.DeepCopy()
	given := map[string]any{
		"clusterIP": "10.0.0.7", "clusterIPs": []any{"10.0.0.7"}, "ipFamilies": []any{"IPv4"}, "ipFamilyPolicy": "SingleStack",
	}
	maps.Copy(istiotest.Spec(live), given)
	istiotest.Spec(live)["selector"] = map[string]any{"app": "mine"}
	want := istiotest.Spec(desired.DeepCopy())
	maps.Copy(want, given)
	if diff := cmp.Diff(want, istiotest.Spec(merge.UpdateBody(desired, live, plantest.Owner.ID))); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if istiotest.Spec(desired)["clusterIP"] != nil {
		t.Error("the object of the bundle was changed")
	}
}

// A backup tool restores addresses with the object, so they must not stand in the way of claiming it.
func TestRestoredStubServiceIsClaimed(t *testing.T) {
	c := newCluster(t)
	wanted := istiotest.StubService(t, "shop", "cart")
	bundle := istiotest.Bundle(wanted)
	c.start().sync(bundle)
	backup := c.get(wanted)
	c.remove(backup)
	backup.SetManagedFields(nil)
	backup.SetResourceVersion("")
	backup.SetUID("")
	restored := c.make(backup, "velero-server")

	k := c.start()
	plan := k.plan(bundle)
	if diff := cmp.Diff(map[string]plans.Verb{"Service/shop/cart": plans.Claim}, plantest.Verbs(plan)); diff != "" {
		t.Fatalf("plan (-want +got):\n%s", diff)
	}
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	c.equal(bundle)
	if now := c.get(wanted); now.GetUID() != restored.GetUID() || istiotest.Spec(now)["clusterIP"] != istiotest.Spec(restored)["clusterIP"] {
		t.Error("it was made anew")
	}
	if plan := k.plan(bundle); plan.Writes() {
		t.Errorf("it is written again: %v", plantest.Verbs(plan))
	}
}
