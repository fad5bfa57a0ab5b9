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

func TestAForeignObjectIsRefusedAndTheRestIsApplied(t *testing.T) {
	w := newWorld(t)
	const key = "ServiceEntry/stock/stock.stock.global-remote"
	foreign := w.make(stranger("stock", "stock.stock.global-remote"))
	w.start()
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonRefused)
	if len(ms.Status.Errors) != 1 || ms.Status.Errors[0].Resource != key || ms.Status.Errors[0].Service != "stock" || ms.Status.Refused != 1 {
		t.Errorf("the status names the object and the service: %s", describe(ms))
	}
	if !strings.Contains(message(ms), key) || !strings.Contains(message(ms), "did not write") {
		t.Errorf("the message names the object and says why: %s", message(ms))
	}
	want := contents(t, exported(w.Git, w.Git.First, east))
	delete(want, key)
	if diff := cmp.Diff(want, contents(t, w.ours())); diff != "" {
		t.Errorf("the rest: cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	w.Polled(3)
	if now := w.read(foreign); now.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("the foreign object was touched")
	}
	if ms := w.Get("mesh"); ms.Status.LastAppliedRevision != "" {
		t.Errorf("a revision that is not applied whole is not called applied: %s", describe(ms))
	}
	must(t, w.Admin.Delete(t.Context(), foreign))
	w.ready("mesh", w.Git.First)
}

// copied is what a person makes of an object with kubectl get -o yaml, another name and kubectl create.
func copied(object *unstructured.Unstructured, name string) *unstructured.Unstructured {
	out := object.DeepCopy()
	out.SetName(name)
	out.SetResourceVersion("")
	out.SetUID("")
	out.SetManagedFields(nil)
	out.SetGeneration(0)
	return out
}

func TestAPersonsCopyOfOurObjectIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	added := w.Git.Commit(many(2))
	w.start()
	w.Create("mesh")
	w.ready("mesh", added)
	copies := []*unstructured.Unstructured{
		w.make(copied(w.Objects()["ServiceEntry/cart/cart.cart.global-local"], "a-copy")),
		w.make(copied(w.Objects()["ServiceEntry/item-0/item-0.item-0.global-remote"], "a-copy")),
	}
	w.Until("the status tells of the copies", func() (bool, string) {
		ms := w.Get("mesh")
		told := 0
		for _, left := range ms.Status.Skipped {
			if strings.HasSuffix(left.Resource, "/a-copy") && strings.Contains(left.Reason, "did not write it") {
				told++
			}
		}
		return told == len(copies), describe(ms)
	})
	// Nor does the copy go with its original, nor after a restart, nor with the MeshSync.
	w.ready("mesh", w.Git.Restore(w.Git.First))
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.delete("mesh")
	for _, c := range copies {
		if now := w.read(c); now.GetResourceVersion() != c.GetResourceVersion() {
			t.Errorf("the copy %s was touched", gitops.Key(c))
		}
	}
	if left := w.Objects(); len(left) != len(copies) {
		t.Errorf("the objects of the MeshSync are gone, and only the copies stay; there are %d", len(left))
	}
}

func TestABackupThatWasRestoredIsRecognisedAndCanBePruned(t *testing.T) {
	w := newWorld(t)
	added := w.Git.Commit(many(2))
	c := w.start()
	w.Create("mesh")
	w.ready("mesh", added)
	c.stop()
	backup := w.Objects()
	for _, object := range backup {
		must(t, w.Admin.Delete(t.Context(), object))
	}
	for key, object := range backup {
		restored := copied(object, object.GetName())
		must(t, w.Admin.Create(t.Context(), restored, client.FieldOwner("velero-server")))
		// Some tools leave no managedFields at all.
		must(t, w.Admin.Patch(t.Context(), restored, client.RawPatch(types.JSONPatchType, []byte(`[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]`))))
		if managed(w.Objects()[key]) {
			t.Fatalf("%s still has our manager, so this test shows nothing", key)
		}
	}
	uids := w.uids()

	w.start()
	w.restored(added)
	w.ready("mesh", added)
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("restored objects were made anew instead of claimed: -before, +after:\n%s", diff)
	}
	w.ready("mesh", w.Git.Restore(w.Git.First))
	if now, want := len(w.Objects()), len(exported(w.Git, w.Git.First, east)); now != want {
		t.Errorf("after pruning there are %d objects, want %d", now, want)
	}
}

func TestTheLastObjectOfAKindIsPrunedAfterARestart(t *testing.T) {
	w := newWorld(t)
	routed := w.Git.Edit("services/cart.cue", "egress: stock: {}", `egress: stock: {}
	routes: [{match: [{headers: "end-user": exact: "jason"}], timeout: "2s"}]`)
	c := w.start()
	w.Create("mesh")
	w.ready("mesh", routed)
	count := func() (n int) {
		for key := range w.Objects() {
			if strings.HasPrefix(key, "VirtualService/") {
				n++
			}
		}
		return n
	}
	if count() != 1 {
		t.Fatalf("the repository has %d VirtualServices and not one, so this test shows nothing", count())
	}
	c.stop()
	without := w.Git.Restore(w.Git.First)
	w.start()
	w.ready("mesh", without)
	if count() != 0 {
		t.Error("the VirtualService was forgotten")
	}
}

func TestTheFinalizerCarriesTheDeletionPolicyOut(t *testing.T) {
	for _, tc := range []struct {
		reason string
		policy v1alpha1.DeletionPolicy
		stay   bool
	}{
		{"a mesh must not vanish because somebody deleted a MeshSync", "", true},
		{"said explicitly", v1alpha1.DeletionOrphan, true},
		{"everything that was made for it goes, and nothing else", v1alpha1.DeletionDelete, false},
	} {
		t.Run("Policy"+string(tc.policy), func(t *testing.T) {
			git := newRepository(t)
			w := worldOf(git, east)
			foreign := w.make(stranger("cart", "foreign"))
			c := w.start()
			w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = tc.policy })
			w.ready("mesh", w.Git.First)
			before := w.versions()
			c.wire.forget()
			w.delete("mesh")
			want := before
			if !tc.stay {
				want = map[string]string{gitops.Key(foreign): string(foreign.GetUID()) + " " + foreign.GetResourceVersion()}
			}
			if diff := cmp.Diff(want, w.versions()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheFinalizerIsKeptWhileTheControllerIsDown(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.ready("mesh", w.Git.First)
	c.stop()
	must(t, w.Admin.Delete(t.Context(), w.Get("mesh")))
	if ms := w.Get("mesh"); ms.DeletionTimestamp.IsZero() || len(w.ours()) == 0 {
		t.Fatalf("the MeshSync waits for the controller: %s", describe(ms))
	}
	w.start()
	w.Until("the objects are gone, and then the MeshSync", func() (bool, string) {
		err := w.Admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "mesh"}, &v1alpha1.MeshSync{})
		return client.IgnoreNotFound(err) == nil && err != nil, ""
	})
	if left := w.uids(); len(left) > 0 {
		t.Errorf("the MeshSync went before %v", left)
	}
}

func TestARenamedMeshSyncClaimsTheOrphansAndDeletesNothing(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.Create("old")
	w.ready("old", w.Git.First)
	uids := w.uids()
	c.wire.forget()
	w.delete("old")
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("between the names: -before, +after:\n%s", diff)
	}
	w.Create("new")
	w.ready("new", w.Git.First)
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("orphans were made anew instead of claimed: -before, +after:\n%s", diff)
	}
	if deletes := c.wire.requests(func(r request) bool { return r.Method == "DELETE" && r.resources() }); len(deletes) > 0 {
		t.Errorf("a renamed MeshSync deletes nothing, and sent %q", deletes)
	}
	// What was claimed is owned: it drifts back and is pruned.
	w.ready("new", w.Git.Edit("services/web.cue", "cart: {}, ", ""))
}

func TestASecondMeshSyncIsStalledUntilTheFirstIsGone(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("a-first")
	w.ready("a-first", w.Git.First)
	before := w.versions()
	// Of a repository with another content, so that a write would show.
	other := newRepository(t)
	otherCommit := other.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.Create("b-second", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.URL = other.URL() })
	ms := w.NotReady("b-second", v1alpha1.ReasonAnotherMeshSync)
	if !stalled(ms) || !strings.Contains(message(ms), namespace+"/a-first") {
		t.Errorf("the younger one is stalled and names the other: %s", describe(ms))
	}
	w.Polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("two MeshSyncs quarrel: -before, +after:\n%s", diff)
	}
	uids := w.uids()
	w.delete("a-first")
	w.Applied("b-second", otherCommit)
	there := &world{gitops.NewWorld(t, w.Cluster, other)}
	if diff := there.differs(otherCommit); diff != "" {
		t.Errorf("after it took over, cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("the second made anew what it could claim: -before, +after:\n%s", diff)
	}
}
