package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

func TestAForeignObjectIsRefusedAndTheRestIsApplied(t *testing.T) {
	w := newWorld(t)
	const key = "ServiceEntry/stock/stock.stock.global-remote"
	foreign := w.make(stranger("stock", "stock.stock.global-remote"))
	w.start()
	w.create("mesh")
	ms := w.notReady("mesh", v1alpha1.ReasonRefused)
	if len(ms.Status.Errors) != 1 || ms.Status.Errors[0].Resource != key || ms.Status.Errors[0].Service != "stock" || ms.Status.Refused != 1 {
		t.Errorf("the status names the object and the service: %s", describe(ms))
	}
	if !strings.Contains(message(ms), key) || !strings.Contains(message(ms), "did not write") {
		t.Errorf("the message names the object and says why: %s", message(ms))
	}
	want := contents(t, w.git.exported(w.git.first, east))
	delete(want, key)
	if diff := cmp.Diff(want, contents(t, w.ours())); diff != "" {
		t.Errorf("the rest: cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	w.polled(3)
	if now := w.read(foreign); now.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("the foreign object was touched")
	}
	if ms := w.get("mesh"); ms.Status.LastAppliedRevision != "" {
		t.Errorf("a revision that is not applied whole is not called applied: %s", describe(ms))
	}
	must(t, w.admin.Delete(t.Context(), foreign))
	w.ready("mesh", w.git.first)
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
	added := w.git.commit(many(2))
	w.start()
	w.create("mesh")
	w.ready("mesh", added)
	copies := []*unstructured.Unstructured{
		w.make(copied(w.objects()["ServiceEntry/cart/cart.cart.global-local"], "a-copy")),
		w.make(copied(w.objects()["ServiceEntry/item-0/item-0.item-0.global-remote"], "a-copy")),
	}
	w.until("the status tells of the copies", func() (bool, string) {
		ms := w.get("mesh")
		told := 0
		for _, left := range ms.Status.LeftAlone {
			if strings.HasSuffix(left.Resource, "/a-copy") && strings.Contains(left.Reason, "did not write it") {
				told++
			}
		}
		return told == len(copies), describe(ms)
	})
	// Nor does the copy go with its original, nor after a restart, nor with the MeshSync.
	w.ready("mesh", w.git.restore(w.git.first))
	w.change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.delete("mesh")
	for _, c := range copies {
		if now := w.read(c); now.GetResourceVersion() != c.GetResourceVersion() {
			t.Errorf("the copy %s was touched", keyOf(c))
		}
	}
	if left := w.objects(); len(left) != len(copies) {
		t.Errorf("the objects of the MeshSync are gone, and only the copies stay; there are %d", len(left))
	}
}

func TestABackupThatWasRestoredIsRecognisedAndCanBePruned(t *testing.T) {
	w := newWorld(t)
	added := w.git.commit(many(2))
	c := w.start()
	w.create("mesh")
	w.ready("mesh", added)
	c.stop()
	backup := w.objects()
	for _, object := range backup {
		must(t, w.admin.Delete(t.Context(), object))
	}
	for key, object := range backup {
		restored := copied(object, object.GetName())
		must(t, w.admin.Create(t.Context(), restored, client.FieldOwner("velero-server")))
		// Some tools leave no managedFields at all.
		must(t, w.admin.Patch(t.Context(), restored, client.RawPatch(types.JSONPatchType, []byte(`[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]`))))
		if managed(w.objects()[key]) {
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
	w.ready("mesh", w.git.restore(w.git.first))
	if now, want := len(w.objects()), len(w.git.exported(w.git.first, east)); now != want {
		t.Errorf("after pruning there are %d objects, want %d", now, want)
	}
}

func TestTheLastObjectOfAKindIsPrunedAfterARestart(t *testing.T) {
	w := newWorld(t)
	routed := w.git.edit("services/cart.cue", "egress: stock: {}", `egress: stock: {}
	routes: [{match: [{headers: "end-user": exact: "jason"}], timeout: "2s"}]`)
	c := w.start()
	w.create("mesh")
	w.ready("mesh", routed)
	count := func() (n int) {
		for key := range w.objects() {
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
	without := w.git.restore(w.git.first)
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
			w := git.cluster(east)
			foreign := w.make(stranger("cart", "foreign"))
			c := w.start()
			w.create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = tc.policy })
			w.ready("mesh", w.git.first)
			before := w.versions()
			c.wire.forget()
			w.delete("mesh")
			want := before
			if !tc.stay {
				want = map[string]string{keyOf(foreign): string(foreign.GetUID()) + " " + foreign.GetResourceVersion()}
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
	w.create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.ready("mesh", w.git.first)
	c.stop()
	must(t, w.admin.Delete(t.Context(), w.get("mesh")))
	if ms := w.get("mesh"); ms.DeletionTimestamp.IsZero() || len(w.ours()) == 0 {
		t.Fatalf("the MeshSync waits for the controller: %s", describe(ms))
	}
	w.start()
	w.until("the objects are gone, and then the MeshSync", func() (bool, string) {
		err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "mesh"}, &v1alpha1.MeshSync{})
		return client.IgnoreNotFound(err) == nil && err != nil, ""
	})
	if left := w.uids(); len(left) > 0 {
		t.Errorf("the MeshSync went before %v", left)
	}
}

func TestARenamedMeshSyncClaimsTheOrphansAndDeletesNothing(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.create("old")
	w.ready("old", w.git.first)
	uids := w.uids()
	c.wire.forget()
	w.delete("old")
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("between the names: -before, +after:\n%s", diff)
	}
	w.create("new")
	w.ready("new", w.git.first)
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("orphans were made anew instead of claimed: -before, +after:\n%s", diff)
	}
	if deletes := c.wire.requests(func(r request) bool { return r.Method == "DELETE" && r.resources() }); len(deletes) > 0 {
		t.Errorf("a renamed MeshSync deletes nothing, and sent %q", deletes)
	}
	// What was claimed is owned: it drifts back and is pruned.
	w.ready("new", w.git.edit("services/web.cue", "cart: {}, ", ""))
}

func TestASecondMeshSyncIsStalledUntilTheFirstIsGone(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.create("a-first")
	w.ready("a-first", w.git.first)
	before := w.versions()
	// Of a repository with another content, so that a write would show.
	other := newRepository(t)
	otherCommit := other.edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.create("b-second", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.URL = other.url() })
	ms := w.notReady("b-second", v1alpha1.ReasonAnotherMeshSync)
	if !stalled(ms) || !strings.Contains(message(ms), namespace+"/a-first") {
		t.Errorf("the younger one is stalled and names the other: %s", describe(ms))
	}
	w.polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("two MeshSyncs quarrel: -before, +after:\n%s", diff)
	}
	uids := w.uids()
	w.delete("a-first")
	w.says("b-second", otherCommit)
	there := &world{t: t, cluster: w.cluster, admin: w.admin, git: other}
	if diff := there.differs(otherCommit); diff != "" {
		t.Errorf("after it took over, cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("the second made anew what it could claim: -before, +after:\n%s", diff)
	}
}
