package e2e_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stranger is an object that Isthmus has nothing to do with.
func stranger(namespace, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"hosts": []any{name + ".example.com"}, "resolution": "NONE", "location": "MESH_EXTERNAL"},
	}}
}

func TestFirstSyncMakesTheClusterWhatPlainCUEExports(t *testing.T) {
	w := newWorld(t)
	foreign := w.make(stranger("cart", "foreign"))
	w.start()
	w.Create("mesh")
	ms := w.ready("mesh", w.Git.First)

	objects := w.ours()
	if len(objects) == 0 || ms.Status.Resources != int64(len(objects)) || ms.Status.Applied != int64(len(objects)) {
		t.Errorf("the cluster has %d objects; the status says %s", len(objects), describe(ms))
	}
	if want := "main@sha1:" + w.Git.First; ms.Status.LastAppliedRevision != want {
		t.Errorf("applied revision is %q, want %q", ms.Status.LastAppliedRevision, want)
	}
	for _, name := range []string{"stock", "cart"} {
		n := &corev1.Namespace{}
		must(t, w.Admin.Get(t.Context(), client.ObjectKey{Name: name}, n))
		made := name != "cart"
		if got := n.Labels["istio-injection"] == "enabled"; got != made {
			t.Errorf("namespace %s: labels %v; one that was missing gets those of the settings, one that was there is left alone", name, n.Labels)
		}
	}
	if now := w.read(foreign); now.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("an object of somebody else was touched")
	}
	w.Until("an event tells of the revision", func() (bool, string) {
		events := w.events(meta.ReconciliationSucceededReason)
		return len(events) == 1 && strings.Contains(events[0], "main@sha1:"+w.Git.First[:12]+" "), strings.Join(events, "\n")
	})
}

func TestAChangeIsWrittenInPlaceAndNothingElseIs(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	before, uids := w.versions(), w.uids()

	commit := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	ms := w.ready("mesh", commit)
	if diff := cmp.Diff(uids, w.uids()); diff != "" {
		t.Errorf("objects were made anew instead of changed: -before, +after:\n%s", diff)
	}
	was, is := contents(t, exported(w.Git, w.Git.First, east)), contents(t, exported(w.Git, commit, east))
	changed := 0
	for key, version := range w.versions() {
		differs := !cmp.Equal(was[key], is[key])
		if differs {
			changed++
		}
		if written := version != before[key]; written != differs {
			t.Errorf("%s: differs by the commit: %v, written: %v", key, differs, written)
		}
	}
	if changed == 0 || ms.Status.Applied != int64(changed) || ms.Status.Pruned != 0 {
		t.Errorf("the commit changes %d objects; the status says %s", changed, describe(ms))
	}
}

func TestARemovedServiceIsPrunedAndNothingElse(t *testing.T) {
	w := newWorld(t)
	added := w.Git.Commit(many(3))
	foreign := w.make(stranger("item-0", "foreign"))
	w.start()
	w.Create("mesh")
	w.ready("mesh", added)
	before := w.versions()

	ms := w.ready("mesh", w.Git.Restore(w.Git.First))
	after := w.versions()
	gone := 0
	for key, version := range before {
		now, stays := after[key]
		if !stays {
			gone++
		} else if now != version {
			t.Errorf("%s was written although only other services went", key)
		}
	}
	if gone == 0 || ms.Status.Pruned != int64(gone) || ms.Status.Applied != 0 {
		t.Errorf("%d objects are gone; the status says %s", gone, describe(ms))
	}
	if now := w.read(foreign); now.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("an object of somebody else was touched")
	}
	// The namespaces stay, and are told as soon as a plan finds nothing there.
	w.Until("namespaces that were made for what is gone are told", func() (bool, string) {
		ms := w.Get("mesh")
		return len(ms.Status.UnusedNamespaces) > 0, describe(ms)
	})
}

func TestAMovedServiceIsFollowedByAllClusters(t *testing.T) {
	git := newRepository(t)
	here, there := worldOf(git, east), worldOf(git, west)
	for _, w := range []*world{here, there} {
		w.start()
		w.Create("mesh")
	}
	for _, w := range []*world{here, there} {
		w.ready("mesh", git.First)
	}
	uids := here.uids()
	// From west, where it was alone, to east.
	moved := git.Edit("services/stock.cue", "placement: west", "placement: east")
	for _, w := range []*world{here, there} {
		w.ready("mesh", moved)
	}
	after := here.uids()
	const rule = "DestinationRule/stock/stock.stock.global"
	if uids[rule] != "" && after[rule] != "" && uids[rule] != after[rule] {
		t.Errorf("%s was made anew", rule)
	}
	if cmp.Equal(contents(t, exported(git, git.First, west)), contents(t, exported(git, moved, west))) {
		t.Error("the move changes nothing in west, so this test shows nothing there")
	}
}
