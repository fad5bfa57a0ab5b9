package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestForeignObjectIsRefusedAndTheRestIsApplied(t *testing.T) {
	env := newEnvironment(t)
	const key = "ServiceEntry/stock/stock.stock.global-remote"
	foreign := env.create(foreignEntry("stock", "stock.stock.global-remote"))
	env.start()
	env.Create("mesh")
	ms := env.NotReady("mesh", v1alpha1.ReasonRefused)
	if len(ms.Status.Errors) != 1 || ms.Status.Errors[0].Resource != key || ms.Status.Errors[0].Service != "stock" || ms.Status.Refused != 1 {
		t.Errorf("the status names the object and the service: %s", describe(ms))
	}
	if !strings.Contains(message(ms), key) || !strings.Contains(message(ms), "did not write") {
		t.Errorf("the message names the object and the reason: %s", message(ms))
	}
	want := gitops.Contents(exported(env.Git, env.Git.First, east))
	delete(want, key)
	if diff := cmp.Diff(want, gitops.Contents(env.owned())); diff != "" {
		t.Errorf("without the refused object: cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	env.Polled(3)
	if now := env.read(foreign); now.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("the foreign object was changed")
	}
	if ms := env.Get("mesh"); ms.Status.LastAppliedRevision != "" {
		t.Errorf("an incomplete revision must not be the last applied revision: %s", describe(ms))
	}
	must(t, env.Admin.Delete(t.Context(), foreign))
	env.ready("mesh", env.Git.First)
}

// copyOf returns what kubectl get -o yaml and kubectl create with another name would create.
func copyOf(object *unstructured.Unstructured, name string) *unstructured.Unstructured {
	out := object.DeepCopy()
	out.SetName(name)
	out.SetResourceVersion("")
	out.SetUID("")
	out.SetManagedFields(nil)
	out.SetGeneration(0)
	return out
}

func TestUserCopyOfAnOwnedObjectIsSkipped(t *testing.T) {
	env := newEnvironment(t)
	added := env.Git.Commit(manyServices(2))
	env.start()
	env.Create("mesh")
	env.ready("mesh", added)
	copies := []*unstructured.Unstructured{
		env.create(copyOf(env.Objects()["ServiceEntry/cart/cart.cart.global-local"], "a-copy")),
		env.create(copyOf(env.Objects()["ServiceEntry/item-0/item-0.item-0.global-remote"], "a-copy")),
	}
	env.Until("the status lists the copies as skipped", func() (bool, string) {
		ms := env.Get("mesh")
		listed := 0
		for _, skipped := range ms.Status.Skipped {
			if strings.HasSuffix(skipped.Resource, "/a-copy") && strings.Contains(skipped.Reason, "did not write it") {
				listed++
			}
		}
		return listed == len(copies), describe(ms)
	})
	// The copies also survive the pruning of the originals and the deletion of the MeshSync.
	env.ready("mesh", env.Git.Restore(env.Git.First))
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	env.delete("mesh")
	for _, c := range copies {
		if now := env.read(c); now.GetResourceVersion() != c.GetResourceVersion() {
			t.Errorf("the copy %s was changed", gitops.Key(c))
		}
	}
	if left := env.Objects(); len(left) != len(copies) {
		t.Errorf("only the copies must remain; there are %d objects", len(left))
	}
}

func TestRestoredBackupIsClaimedAndCanBePruned(t *testing.T) {
	env := newEnvironment(t)
	added := env.Git.Commit(manyServices(2))
	c := env.start()
	env.Create("mesh")
	env.ready("mesh", added)
	c.stop()
	backup := env.Objects()
	for _, object := range backup {
		must(t, env.Admin.Delete(t.Context(), object))
	}
	for key, object := range backup {
		restored := copyOf(object, object.GetName())
		must(t, env.Admin.Create(t.Context(), restored, client.FieldOwner("velero-server")))
		// Some tools drop managedFields.
		must(t, env.Admin.Patch(t.Context(), restored, client.RawPatch(types.JSONPatchType, []byte(`[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]`))))
		if gitops.Managed(env.Objects()[key]) {
			t.Fatalf("%s still has our field manager, so this test proves nothing", key)
		}
	}
	uids := env.uids()

	env.start()
	env.restored(added)
	env.ready("mesh", added)
	if diff := cmp.Diff(uids, env.uids()); diff != "" {
		t.Errorf("restored objects were re-created instead of claimed: -before, +after:\n%s", diff)
	}
	env.ready("mesh", env.Git.Restore(env.Git.First))
	if now, want := len(env.Objects()), len(exported(env.Git, env.Git.First, east)); now != want {
		t.Errorf("after pruning there are %d objects, want %d", now, want)
	}
}

func TestLastObjectOfAKindIsPrunedAfterRestart(t *testing.T) {
	env := newEnvironment(t)
	routed := env.Git.Edit("services/cart.cue", "egress: stock: {}", `egress: stock: {}
	routes: [{match: [{headers: "end-user": exact: "jason"}], timeout: "2s"}]`)
	c := env.start()
	env.Create("mesh")
	env.ready("mesh", routed)
	count := func() (n int) {
		for key := range env.Objects() {
			if strings.HasPrefix(key, "VirtualService/") {
				n++
			}
		}
		return n
	}
	if count() != 1 {
		t.Fatalf("the repository has %d VirtualServices instead of one, so this test proves nothing", count())
	}
	c.stop()
	unrouted := env.Git.Restore(env.Git.First)
	env.start()
	env.ready("mesh", unrouted)
	if count() != 0 {
		t.Error("the VirtualService was not pruned")
	}
}

func TestFinalizerAppliesTheDeletionPolicy(t *testing.T) {
	for _, tc := range []struct {
		reason string
		policy v1alpha1.DeletionPolicy
		keep   bool
	}{
		{"by default the deletion of a MeshSync keeps the mesh", "", true},
		{"Orphan keeps all objects", v1alpha1.DeletionOrphan, true},
		{"Delete deletes all objects of the MeshSync and no others", v1alpha1.DeletionDelete, false},
	} {
		t.Run("Policy"+string(tc.policy), func(t *testing.T) {
			git := newRepository(t)
			env := environmentOf(git, east)
			foreign := env.create(foreignEntry("cart", "foreign"))
			c := env.start()
			env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = tc.policy })
			env.ready("mesh", env.Git.First)
			before := env.versions()
			c.recorder.reset()
			env.delete("mesh")
			want := before
			if !tc.keep {
				want = map[string]string{gitops.Key(foreign): gitops.Version(foreign)}
			}
			if diff := cmp.Diff(want, env.versions()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFinalizerWaitsForTheController(t *testing.T) {
	env := newEnvironment(t)
	c := env.start()
	env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	env.ready("mesh", env.Git.First)
	c.stop()
	must(t, env.Admin.Delete(t.Context(), env.Get("mesh")))
	if ms := env.Get("mesh"); ms.DeletionTimestamp.IsZero() || len(env.owned()) == 0 {
		t.Fatalf("the MeshSync waits for the controller: %s", describe(ms))
	}
	env.start()
	env.Until("the MeshSync is gone", func() (bool, string) {
		err := env.Admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "mesh"}, &v1alpha1.MeshSync{})
		return client.IgnoreNotFound(err) == nil && err != nil, ""
	})
	if left := env.uids(); len(left) > 0 {
		t.Errorf("the MeshSync was deleted before %v", left)
	}
}

func TestRenamedMeshSyncClaimsOrphansAndDeletesNothing(t *testing.T) {
	env := newEnvironment(t)
	c := env.start()
	env.Create("old")
	env.ready("old", env.Git.First)
	uids := env.uids()
	c.recorder.reset()
	env.delete("old")
	if diff := cmp.Diff(uids, env.uids()); diff != "" {
		t.Errorf("after the deletion of the old MeshSync: -before, +after:\n%s", diff)
	}
	env.Create("new")
	env.ready("new", env.Git.First)
	if diff := cmp.Diff(uids, env.uids()); diff != "" {
		t.Errorf("orphans were re-created instead of claimed: -before, +after:\n%s", diff)
	}
	if deletes := c.recorder.requests(func(r request) bool { return r.Method == "DELETE" && r.Istio() }); len(deletes) > 0 {
		t.Errorf("a renamed MeshSync must delete nothing; sent %q", deletes)
	}
	// Claimed objects are owned: a commit changes and prunes them.
	env.ready("new", env.Git.Edit("services/web.cue", "cart: {}, ", ""))
}

func TestSecondMeshSyncIsStalledUntilTheFirstIsDeleted(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("a-first")
	env.ready("a-first", env.Git.First)
	before := env.versions()
	// Its repository has other content, so a write would be visible.
	other := newRepository(t)
	otherCommit := other.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	env.Create("b-second", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.URL = other.URL() })
	ms := env.NotReady("b-second", v1alpha1.ReasonAnotherMeshSync)
	if !stalled(ms) || !strings.Contains(message(ms), namespace+"/a-first") {
		t.Errorf("the younger MeshSync is stalled and names the older one: %s", describe(ms))
	}
	env.Polled(3)
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("the stalled MeshSync changed the cluster: -before, +after:\n%s", diff)
	}
	uids := env.uids()
	env.delete("a-first")
	env.Applied("b-second", otherCommit)
	second := &environment{gitops.NewEnv(t, env.Cluster, other)}
	if diff := second.diff(otherCommit); diff != "" {
		t.Errorf("after the takeover, cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(uids, env.uids()); diff != "" {
		t.Errorf("the second MeshSync re-created objects instead of claiming them: -before, +after:\n%s", diff)
	}
}
