package e2e_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// foreignEntry returns a ServiceEntry that Isthmus does not own.
func foreignEntry(namespace, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"hosts": []any{name + ".example.com"}, "resolution": "NONE", "location": "MESH_EXTERNAL"},
	}}
}

func TestFirstSyncAppliesTheCueExport(t *testing.T) {
	env := newEnvironment(t)
	foreign := env.create(foreignEntry("cart", "foreign"))
	env.start()
	env.Create("mesh")
	ms := env.ready("mesh", env.Git.First)

	objects := env.owned()
	if len(objects) == 0 || ms.Status.Resources != int64(len(objects)) || ms.Status.Applied != int64(len(objects)) {
		t.Errorf("the cluster has %d objects; the status is %s", len(objects), describe(ms))
	}
	if want := "main@sha1:" + env.Git.First; ms.Status.LastAppliedRevision != want {
		t.Errorf("applied revision is %q, want %q", ms.Status.LastAppliedRevision, want)
	}
	for _, name := range []string{"stock", "cart"} {
		n := &corev1.Namespace{}
		must(t, env.Admin.Get(t.Context(), client.ObjectKey{Name: name}, n))
		created := name != "cart"
		if got := n.Labels["istio-injection"] == "enabled"; got != created {
			t.Errorf("namespace %s: labels %v; a new namespace gets the labels of the settings, an existing one is unchanged", name, n.Labels)
		}
	}
	if now := env.read(foreign); now.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("a foreign object was changed")
	}
	env.Until("an event names the revision", func() (bool, string) {
		events := env.events(meta.ReconciliationSucceededReason)
		return len(events) == 1 && strings.Contains(events[0], "main@sha1:"+env.Git.First[:12]+" "), strings.Join(events, "\n")
	})
}

func TestChangeUpdatesOnlyTheChangedObjectsInPlace(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	before, uids := env.versions(), env.uids()

	commit := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	ms := env.ready("mesh", commit)
	if diff := cmp.Diff(uids, env.uids()); diff != "" {
		t.Errorf("objects were re-created instead of updated: -before, +after:\n%s", diff)
	}
	was, is := gitops.Contents(exported(env.Git, env.Git.First, east)), gitops.Contents(exported(env.Git, commit, east))
	changed := 0
	for key, version := range env.versions() {
		differs := !cmp.Equal(was[key], is[key])
		if differs {
			changed++
		}
		if written := version != before[key]; written != differs {
			t.Errorf("%s: changed by the commit: %v, written: %v", key, differs, written)
		}
	}
	if changed == 0 || ms.Status.Applied != int64(changed) || ms.Status.Pruned != 0 {
		t.Errorf("the commit changes %d objects; the status is %s", changed, describe(ms))
	}
}

func TestRemovedServiceIsPrunedAndNothingElseChanges(t *testing.T) {
	env := newEnvironment(t)
	added := env.Git.Commit(manyServices(3))
	foreign := env.create(foreignEntry("item-0", "foreign"))
	env.start()
	env.Create("mesh")
	env.ready("mesh", added)
	before := env.versions()

	ms := env.ready("mesh", env.Git.Restore(env.Git.First))
	after := env.versions()
	gone := 0
	for key, version := range before {
		now, stays := after[key]
		if !stays {
			gone++
		} else if now != version {
			t.Errorf("%s was written although only other services were removed", key)
		}
	}
	if gone == 0 || ms.Status.Pruned != int64(gone) || ms.Status.Applied != 0 {
		t.Errorf("%d objects are gone; the status is %s", gone, describe(ms))
	}
	if now := env.read(foreign); now.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("a foreign object was changed")
	}
	// The namespaces remain. The status lists them after a plan finds them empty.
	env.Until("the status lists the unused namespaces", func() (bool, string) {
		ms := env.Get("mesh")
		return len(ms.Status.UnusedNamespaces) > 0, describe(ms)
	})
}

func TestAllClustersFollowAMovedService(t *testing.T) {
	git := newRepository(t)
	here, there := environmentOf(git, east), environmentOf(git, west)
	for _, env := range []*environment{here, there} {
		env.start()
		env.Create("mesh")
	}
	for _, env := range []*environment{here, there} {
		env.ready("mesh", git.First)
	}
	uids := here.uids()
	// From west, its only cluster, to east.
	moved := git.Edit("services/stock.cue", "placement: west", "placement: east")
	for _, env := range []*environment{here, there} {
		env.ready("mesh", moved)
	}
	after := here.uids()
	const rule = "DestinationRule/stock/stock.stock.global"
	if uids[rule] != "" && after[rule] != "" && uids[rule] != after[rule] {
		t.Errorf("%s was re-created", rule)
	}
	if cmp.Equal(gitops.Contents(exported(git, git.First, west)), gitops.Contents(exported(git, moved, west))) {
		t.Error("the move changes nothing in west, so this test proves nothing there")
	}
}
