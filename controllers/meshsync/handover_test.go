package meshsync_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// keeps fails the test if the controller deleted or replaced the objects with these uids.
func (w *world) keeps(uids map[string]string) {
	w.T.Helper()
	for _, request := range w.requests.list() {
		if strings.HasPrefix(request, "DELETE ") {
			w.T.Errorf("it sent %s", request)
		}
	}
	now := uidsOf(w.Objects())
	for key, uid := range uids {
		if now[key] != uid {
			w.T.Errorf("uid of %s: before %q, now %q", key, uid, now[key])
		}
	}
}

func uidsOf(all map[string]*unstructured.Unstructured) map[string]string {
	out := map[string]string{}
	for key, object := range all {
		out[key] = string(object.GetUID())
	}
	return out
}

func TestReplacedMeshSyncKeepsObjectsOfItsSuccessor(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.Applied("mesh", w.Git.First)
	before := uidsOf(w.Objects())

	// Flux renames a MeshSync in this order: it creates the new one, then prunes the old one.
	w.Create("renamed")
	w.NotReady("renamed", v1alpha1.ReasonAnotherMeshSync)
	must(t, w.Admin.Delete(t.Context(), w.Get("mesh")))
	w.Applied("renamed", w.Git.First)
	w.keeps(before)
	id := ownership.ApplySetID("renamed", namespace, "MeshSync", "isthmus.dev")
	for key, object := range w.Objects() {
		if object.GetLabels()[ownership.LabelPartOf] != id {
			t.Errorf("%s does not belong to the renamed one", key)
		}
	}
	if events := w.events.with(corev1.EventTypeNormal, "Succeeded"); len(events) != 1 || !strings.Contains(events[0], namespace+"/renamed") {
		t.Errorf("want one event that names the successor: %q", events)
	}

	// The last MeshSync follows its deletion policy.
	w.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	must(t, w.Admin.Delete(t.Context(), w.Get("renamed")))
	w.Until("all objects are deleted", func() (bool, string) {
		err := w.Admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "renamed"}, &v1alpha1.MeshSync{})
		return apierrors.IsNotFound(err) && len(w.Objects()) == 0, cmp.Diff(nil, keysOf(w.Objects()))
	})
}

func TestMeshSyncThatMayNotWriteIsNoSuccessor(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.Applied("mesh", w.Git.First)
	before := uidsOf(w.Objects())
	says := func(reason string, promises bool, want ...string) {
		t.Helper()
		w.Until(reason, func() (bool, string) {
			ms := w.Get("renamed")
			for _, kind := range []string{meta.ReadyCondition, meta.StalledCondition} {
				message := conditions.GetMessage(ms, kind)
				if promised := strings.Contains(message, "takes over"); promised != promises {
					return false, describe(ms)
				}
				for _, mention := range want {
					if !strings.Contains(message, mention) {
						return false, describe(ms)
					}
				}
			}
			return true, ""
		})
	}

	w.Create("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	says("a MeshSync in mode Observe claims nothing", false, namespace+"/mesh", "only observes", "deletes its objects if its spec.deletionPolicy is Delete", "spec.mode to Apply first")
	w.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeApply })
	says("a MeshSync in mode Apply claims the objects", true, namespace+"/mesh")
	w.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	says("a suspended MeshSync withdraws its message", false, namespace+"/mesh", "is suspended", "spec.suspend to false first")
	w.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	says("suspend and mode Observe both block", false, "is suspended and only observes", "spec.suspend to false and spec.mode to Apply first")

	// A user who follows the message loses no object.
	w.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend, ms.Spec.Mode = false, v1alpha1.ModeApply })
	says("a MeshSync in mode Apply claims the objects", true)
	must(t, w.Admin.Delete(t.Context(), w.Get("mesh")))
	w.Applied("renamed", w.Git.First)
	w.keeps(before)
}

func TestChangedURLKeepsCommonObjects(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	before := uidsOf(w.Objects())

	// First a URL without a server, then a repository with the same services and more.
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.URL = "http://127.0.0.1:1/mesh.git" })
	w.NotReady("mesh", v1alpha1.ReasonFetchFailed)
	w.keeps(before)
	w.Git = gitops.NewRepository(t, quickstart)
	commit := w.Git.Commit(map[string]string{"services/fresh.cue": service("fresh", "new"), "services/new.cue": service("new")})
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.URL = w.Git.URL() })
	w.Applied("mesh", commit)
	w.keeps(before)
	if len(w.Objects()) <= len(before) {
		t.Error("the new repository is not applied")
	}
}

func TestChangedClusterKeepsCommonObjects(t *testing.T) {
	w := newWorld(t, withIstio)
	commit := w.publishing()
	w.Create("mesh")
	w.Applied("mesh", commit)
	east, asked := w.Objects(), 0
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Cluster = "west"; ms.Spec.Interval.Duration = time.Hour })
	w.Until("the cluster is west, or the plan is held", func() (bool, string) {
		ms := w.Get("mesh")
		if held := ms.Status.Held; held != nil && ms.Annotations[v1alpha1.AcknowledgeAnnotation] != held.Digest {
			if diff := cmp.Diff(uidsOf(east), uidsOf(w.Objects())); diff != "" {
				t.Fatalf("the held plan changed objects: -before, +after:\n%s", diff)
			}
			if asked++; asked > 1 {
				t.Fatalf("the acknowledged plan is held again: %s", describe(ms))
			}
			w.acknowledge(held.Digest)
		}
		return ms.Status.ObservedGeneration == ms.Generation && ms.Status.Held == nil, describe(ms)
	})
	w.Applied("mesh", commit)
	west, stayed := uidsOf(w.Objects()), 0
	for key, object := range east {
		uid, declared := west[key]
		if declared {
			stayed++
		}
		if declared && uid != string(object.GetUID()) {
			t.Errorf("%s was deleted and created again", key)
		}
	}
	if stayed == 0 || stayed == len(west) {
		t.Errorf("%d of %d objects are common, too few for this test", stayed, len(west))
	}
}

func TestMeshSyncsDeletedTogetherDeleteTheirObjects(t *testing.T) {
	w := newWorld(t, withIstio)
	deleted := func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete }
	w.Create("mesh", deleted)
	w.Applied("mesh", w.Git.First)
	w.Create("renamed", deleted)
	w.NotReady("renamed", v1alpha1.ReasonAnotherMeshSync)
	for _, name := range []string{"mesh", "renamed"} {
		must(t, w.Admin.Delete(t.Context(), w.Get(name)))
	}
	w.Until("all objects are deleted", func() (bool, string) {
		err := w.Admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "renamed"}, &v1alpha1.MeshSync{})
		return apierrors.IsNotFound(err) && len(w.Objects()) == 0, cmp.Diff(nil, keysOf(w.Objects()))
	})
}
