package execute

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestCopyByUserIsReportedAndNotChanged(t *testing.T) {
	tests := map[string]struct {
		reason  string
		prepare func(*unstructured.Unstructured)
	}{
		"without managedFields": {"kubectl get -o yaml hides them", func(o *unstructured.Unstructured) { o.SetManagedFields(nil) }},
		"with managedFields":    {"--show-managed-fields, or another tool, keeps them", func(*unstructured.Unstructured) {}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			bundle := istiotest.Bundle(istiotest.VirtualService("shop", "cart", "5s"))
			k.sync(bundle)

			theirs := c.get(bundle.Resources[0].Object())
			test.prepare(theirs)
			theirs.SetName("cart-of-mine")
			theirs.SetResourceVersion("")
			theirs.SetUID("")
			made := c.make(theirs, "kubectl-create")

			plan := k.planUntil(bundle, "the copy is seen", func(p plans.Plan) bool { return len(p.Actions) > 0 })
			want := map[string]plans.Verb{"VirtualService/shop/cart-of-mine": plans.Report}
			if diff := cmp.Diff(want, plantest.Verbs(plan)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			if _, err := k.apply(plan); err != nil {
				t.Fatal(err)
			}
			if got := c.get(made); got.GetResourceVersion() != made.GetResourceVersion() {
				t.Errorf("%s: the copy was touched", test.reason)
			}
		})
	}
}

func TestRestoredBackupIsRecognised(t *testing.T) {
	tests := map[string]struct {
		reason string
		edit   string
		reset  bool
		verb   plans.Verb
	}{
		"equal":                          {"nothing to change, but without the manager it could never be pruned", "", false, plans.Claim},
		"different":                      {"the PUT leaves the manager behind", `{"spec":{"exportTo":["."]}}`, false, plans.Update},
		"equal, no managedFields at all": {"the API server only begins to track with an apply", "", true, plans.Claim},
		"different, no managedFields":    {"a PUT alone would leave no manager", `{"spec":{"exportTo":["."]}}`, true, plans.Update},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			bundle := istiotest.Bundle(istiotest.VirtualService("shop", "cart", "5s"))
			c.start().sync(bundle)

			backup := c.get(bundle.Resources[0].Object())
			c.remove(backup)
			backup.SetManagedFields(nil)
			backup.SetResourceVersion("")
			backup.SetUID("")
			restored := c.make(backup, "velero-server")
			if test.edit != "" {
				restored = c.patch(restored, test.edit)
			}
			if test.reset {
				// Strips them, as the documentation of server-side apply says.
				restored = c.patch(restored, `{"metadata":{"managedFields":[{}]}}`)
				if len(restored.GetManagedFields()) != 0 {
					t.Fatalf("managedFields are not empty: %v", managers(restored))
				}
			}
			if c.owner.Ownership(restored) != ownership.LabelOnly {
				t.Fatalf("the backup came back with %v", managers(restored))
			}

			k := c.start()
			plan := k.plan(bundle)
			if len(plan.Actions) != 1 || plan.Actions[0].Verb != test.verb {
				t.Fatalf("%s: %v", test.reason, plantest.Verbs(plan))
			}
			if _, err := k.apply(plan); err != nil {
				t.Fatal(err)
			}
			c.equal(bundle)
			if plan := k.plan(bundle); plan.Writes() {
				t.Errorf("%s: it is written again: %v", test.reason, plantest.Verbs(plan))
			}
			live := c.get(restored)
			if live.GetUID() != restored.GetUID() {
				t.Error("it was made anew")
			}
			if test.verb == plans.Claim && live.GetGeneration() != restored.GetGeneration() {
				t.Error("claiming changed the spec")
			}
			// The proof of both marks: it can be pruned.
			k.options.MaxPrunePercent = 100
			if result := k.sync(istiotest.Bundle(istiotest.VirtualService("shop", "other", "5s"))); result.Deleted != 1 {
				t.Errorf("%s: it was not pruned: %+v", test.reason, result)
			}
		})
	}
}

func TestOnlyOrphansAreClaimed(t *testing.T) {
	gone := ownership.Owner{ID: ownership.ApplySetID("gone", "isthmus-system", "MeshSync", "isthmus.dev")}
	living := ownership.Owner{ID: ownership.ApplySetID("living", "isthmus-system", "MeshSync", "isthmus.dev")}

	c := newCluster(t)
	for owner, names := range map[*ownership.Owner][]string{&gone: {"a", "b"}, &living: {"c", "d"}} {
		other := c.start()
		other.options.Owner = ownership.Owner{ID: owner.ID, Living: sets.New(gone.ID, living.ID)}
		other.sync(istiotest.Bundle(istiotest.VirtualService("shop", names[0], "5s"), istiotest.VirtualService("shop", names[1], "5s")))
	}
	kubectl := c.make(istiotest.WithLabels(istiotest.VirtualService("shop", "e", "5s"), map[string]string{ownership.LabelPartOf: "applyset-of-kubectl-v1"}), "kubectl-applyset")

	k := c.start()
	k.options.Owner.Living = sets.New(living.ID)
	bundle := istiotest.Bundle(istiotest.VirtualService("shop", "a", "5s"), istiotest.VirtualService("shop", "c", "5s"), istiotest.VirtualService("shop", "e", "5s"))
	plan := k.plan(bundle)
	want := map[string]plans.Verb{
		"VirtualService/shop/a": plans.Update, // of a MeshSync that is gone, in the bundle
		"VirtualService/shop/b": plans.Delete, // of a MeshSync that is gone, not in the bundle
		"VirtualService/shop/c": plans.Refuse, // of another living MeshSync, in the bundle
		"VirtualService/shop/e": plans.Refuse, // of another tool
	}
	if diff := cmp.Diff(want, plantest.Verbs(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"metadata.labels." + ownership.LabelPartOf}, plan.Actions[0].Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	before := c.all()
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	after := c.all()
	if got := k.options.Owner.Ownership(c.get(istiotest.VirtualService("shop", "a", ""))); got != ownership.Owned {
		t.Errorf("a is not ours: %v", got)
	}
	for _, name := range []string{"c", "d", "e"} {
		key := render.Key{Kind: "VirtualService", Namespace: "shop", Name: name}
		if after[key] == nil || after[key].GetResourceVersion() != before[key].GetResourceVersion() {
			t.Errorf("%s belongs to somebody else and was touched", name)
		}
	}
	if _, ok := after[render.Key{Kind: "VirtualService", Namespace: "shop", Name: "b"}]; ok {
		t.Error("the orphan b was not pruned")
	}
	c.remove(kubectl)
}

func TestOptOutAnnotations(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	k.sync(istiotest.Bundle(istiotest.Services("cart", "ledger")...))
	c.patch(istiotest.VirtualService("shop", "cart", ""), `{"metadata":{"annotations":{"isthmus.dev/reconcile":"disabled"}},"spec":{"exportTo":["."]}}`)
	c.patch(istiotest.DestinationRule("shop", "ledger"), `{"metadata":{"annotations":{"isthmus.dev/prune":"disabled"}}}`)
	c.patch(istiotest.VirtualService("shop", "ledger", ""), `{"metadata":{"annotations":{"isthmus.dev/reconcile":"disabled"}}}`)

	next := istiotest.Bundle(append(istiotest.Service("cart"), istiotest.DestinationRule("shop", "x"))...)
	k.options.MaxPrunePercent = 100
	plan := k.planUntil(next, "all three wishes are seen", func(p plans.Plan) bool { return p.Count(plans.Refuse) == 1 && p.Count(plans.Skip) == 2 })
	want := map[string]plans.Verb{
		"VirtualService/shop/cart":   plans.Refuse,
		"DestinationRule/shop/x":     plans.Create,
		"ServiceEntry/shop/ledger":   plans.Delete,
		"VirtualService/shop/ledger": plans.Skip, "DestinationRule/shop/ledger": plans.Skip,
	}
	if diff := cmp.Diff(want, plantest.Verbs(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	if !c.exists(istiotest.DestinationRule("shop", "ledger")) || !c.exists(istiotest.VirtualService("shop", "ledger", "")) || c.exists(istiotest.ServiceEntry("shop", "ledger")) {
		t.Error("what was to be kept is gone, or what was not is not")
	}

	// An edit of an object that is kept from pruning only is undone all the same.
	c.patch(istiotest.DestinationRule("shop", "ledger"), `{"spec":{"exportTo":["."]}}`)
	back := istiotest.Bundle(append(istiotest.Services("ledger"), istiotest.Service("cart")...)...)
	k.planUntil(back, "the edit is seen", func(p plans.Plan) bool { return plantest.Verbs(p)["DestinationRule/shop/ledger"] == plans.Update })
}

func TestPruningCanBeDisabled(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	k.sync(istiotest.Bundle(istiotest.Services("cart", "ledger")...))
	k.options.Prune = false
	result := k.sync(istiotest.Bundle(istiotest.Service("cart")...))
	if result.Deleted != 0 || len(c.all()) != 6 {
		t.Errorf("pruned although switched off: %+v", result)
	}
}

func TestReleaseDeletesOnlyOwnedObjects(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	k.sync(istiotest.Bundle(istiotest.Services("cart", "ledger", "checkout", "catalogue", "stock")...))
	c.patch(istiotest.VirtualService("shop", "cart", ""), `{"metadata":{"annotations":{"isthmus.dev/prune":"disabled"}}}`)
	copied := c.make(istiotest.WithLabels(istiotest.VirtualService("shop", "mine", "1s"), map[string]string{ownership.LabelPartOf: c.owner.ID}), "kubectl-create")
	foreign := c.make(istiotest.VirtualService("pay", "foreign", "1s"), "kubectl-create")
	c.patch(istiotest.DestinationRule("shop", "ledger"), `{"metadata":{"finalizers":["example.com/slow"]}}`)

	fresh := c.start()
	view := fresh.look()
	if remaining := plans.Remaining(view, c.owner); len(remaining) != 14 {
		t.Errorf("%d objects remain before the release: %v", len(remaining), remaining)
	}
	result, err := fresh.apply(plans.MakeRelease(view, c.owner))
	if err != nil {
		t.Fatal(err)
	}
	if result.Deleted != 14 {
		t.Errorf("release: %+v", result)
	}
	fresh.until("only what waits for its finalizer remains", func() bool {
		remaining := plans.Remaining(fresh.look(), c.owner)
		return cmp.Equal(remaining, []render.Key{{Kind: "DestinationRule", Namespace: "shop", Name: "ledger"}})
	})
	for _, kept := range []*unstructured.Unstructured{istiotest.VirtualService("shop", "cart", ""), copied, foreign} {
		if !c.exists(kept) {
			t.Errorf("%s is gone", render.KeyOf(kept))
		}
	}
	c.patch(istiotest.DestinationRule("shop", "ledger"), `{"metadata":{"finalizers":null}}`)
	fresh.until("nothing remains", func() bool { return len(plans.Remaining(fresh.look(), c.owner)) == 0 })
}

func TestObjectWithFinalizerIsWaitedFor(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	bundle := istiotest.Bundle(istiotest.DestinationRule("shop", "cart"))
	k.sync(bundle)
	c.patch(istiotest.DestinationRule("shop", "cart"), `{"metadata":{"finalizers":["example.com/slow"]}}`)
	c.remove(istiotest.DestinationRule("shop", "cart"))
	k.planUntil(bundle, "it is seen to be going", func(p plans.Plan) bool { return p.Count(plans.Refuse) == 1 && !p.Writes() })
	c.patch(istiotest.DestinationRule("shop", "cart"), `{"metadata":{"finalizers":null}}`)
	k.planUntil(bundle, "it is made anew", func(p plans.Plan) bool { return p.Count(plans.Create) == 1 })
	k.sync(bundle)
	c.equal(bundle)
}

func TestGuardHoldsUntilAcknowledged(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	k.sync(istiotest.Bundle(istiotest.Services("a", "b", "c", "d", "e")...))
	added := istiotest.VirtualService("shop", "new", "5s")
	next := istiotest.Bundle(append(istiotest.Service("a"), added)...)

	plan := k.plan(next)
	if plan.Guard == nil || plan.Guard.Kind != plans.MassDeletion {
		t.Fatalf("12 of 15 deletions are not held: %v", plan.Guard)
	}
	before := k.requests.Load()
	result, err := k.apply(plan)
	if err == nil || result.Wrote() != 0 || k.requests.Load() != before || len(c.all()) != 15 {
		t.Errorf("a held plan was carried out in part: %v, %+v", err, result)
	}
	again := k.plan(next)
	if diff := cmp.Diff(plan.Guard, again.Guard); diff != "" {
		t.Errorf("the brake is not the same in the next run (-first +second):\n%s", diff)
	}
	next.Acknowledged = []string{plan.Guard.Digest}
	k.sync(next)
	c.equal(next)

	// The acknowledgement is of those deletions only.
	k.sync(istiotest.Bundle(append(istiotest.Services("a", "f", "g", "h", "i"), added)...))
	other := istiotest.Bundle(append(istiotest.Service("a"), added)...)
	other.Acknowledged = next.Acknowledged
	if plan := k.plan(other); plan.Guard == nil {
		t.Error("an old acknowledgement lets other deletions pass")
	}
}

func TestObjectWithoutLabelIsReportedWhenItLeavesTheBundle(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	k.sync(istiotest.Bundle(istiotest.DestinationRule("shop", "cart"), istiotest.DestinationRule("shop", "ledger")))
	c.patch(istiotest.DestinationRule("shop", "cart"), `{"metadata":{"labels":{"`+ownership.LabelPartOf+`":null}}}`)
	next := istiotest.Bundle(istiotest.DestinationRule("shop", "ledger"))
	plan := k.planUntil(next, "the label is seen to be gone", func(p plans.Plan) bool { return p.Count(plans.Report) == 1 })
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	if !c.exists(istiotest.DestinationRule("shop", "cart")) {
		t.Error("an object with one mark was deleted")
	}
}
