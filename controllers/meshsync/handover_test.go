package meshsync_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/apply"
)

// keeps fails the test if the controller deleted anything, or made anew what had these uids.
func (w *world) keeps(uids map[string]string) {
	w.t.Helper()
	for _, request := range w.requests.list() {
		if strings.HasPrefix(request, "DELETE ") {
			w.t.Errorf("it sent %s", request)
		}
	}
	now := uidsOf(w.names())
	for key, uid := range uids {
		if now[key] != uid {
			w.t.Errorf("%s was %q and is %q", key, uid, now[key])
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

func TestAMeshSyncThatIsReplacedDeletesNothingThatTheNextOneDeclares(t *testing.T) {
	w := newWorld(t, withIstio)
	w.create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.ready("mesh", w.git.first)
	before := uidsOf(w.names())

	// As Flux renames one: the new one is made, then the old one is pruned.
	w.create("renamed")
	w.notReady("renamed", v1alpha1.ReasonAnotherMeshSync)
	must(t, w.admin.Delete(t.Context(), w.get("mesh")))
	w.ready("renamed", w.git.first)
	w.keeps(before)
	id := apply.ApplySetID("renamed", namespace, "MeshSync", "isthmus.dev")
	for key, object := range w.names() {
		if object.GetLabels()[apply.LabelPartOf] != id {
			t.Errorf("%s does not belong to the renamed one", key)
		}
	}
	if events := w.events.with(corev1.EventTypeNormal, "Succeeded"); len(events) != 1 || !strings.Contains(events[0], namespace+"/renamed") {
		t.Errorf("one event tells who takes over: %q", events)
	}

	// The last one does what its policy says.
	w.change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	must(t, w.admin.Delete(t.Context(), w.get("renamed")))
	w.until("everything is gone", func() (bool, string) {
		err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "renamed"}, &v1alpha1.MeshSync{})
		return apierrors.IsNotFound(err) && len(w.names()) == 0, cmp.Diff(nil, keysOf(w.names()))
	})
}

func TestAnotherURLDeletesNothingThatIsThereAsWell(t *testing.T) {
	w := newWorld(t, withIstio)
	w.create("mesh")
	w.ready("mesh", w.git.first)
	before := uidsOf(w.names())

	// A place where nobody answers, then one that has the same and more.
	w.change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.URL = "http://127.0.0.1:1/mesh.git" })
	w.notReady("mesh", v1alpha1.ReasonFetchFailed)
	w.keeps(before)
	w.git = newRepository(t)
	commit := w.git.commit(map[string]string{"services/fresh.cue": service("fresh", "new"), "services/new.cue": service("new")})
	w.change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.URL = w.git.url() })
	w.ready("mesh", commit)
	w.keeps(before)
	if len(w.names()) <= len(before) {
		t.Error("the new repository is not followed")
	}
}

func TestAnotherClusterDeletesNothingThatIsThereAsWell(t *testing.T) {
	w := newWorld(t, withIstio)
	commit := w.publishing()
	w.create("mesh")
	w.ready("mesh", commit)
	east := w.names()
	w.change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Cluster = "west"; ms.Spec.Interval.Duration = time.Hour })
	w.until("it is west, or held until a person agrees", func() (bool, string) {
		ms := w.get("mesh")
		if held := ms.Status.Held; held != nil && ms.Annotations[v1alpha1.AcknowledgeAnnotation] != held.Digest {
			if diff := cmp.Diff(uidsOf(east), uidsOf(w.names())); diff != "" {
				t.Fatalf("held, and changed: -before, +after:\n%s", diff)
			}
			w.change("mesh", func(ms *v1alpha1.MeshSync) {
				ms.Annotations = map[string]string{v1alpha1.AcknowledgeAnnotation: held.Digest}
			})
		}
		return ms.Status.ObservedGeneration == ms.Generation && ms.Status.Held == nil, describe(ms)
	})
	w.ready("mesh", commit)
	west, stayed := uidsOf(w.names()), 0
	for key, object := range east {
		uid, declared := west[key]
		if declared {
			stayed++
		}
		if declared && uid != string(object.GetUID()) {
			t.Errorf("%s was deleted and made anew", key)
		}
	}
	if stayed == 0 || stayed == len(west) {
		t.Errorf("%d of %d objects are common, so this shows nothing", stayed, len(west))
	}
}

func TestMeshSyncsThatGoTogetherTakeTheirObjectsWithThem(t *testing.T) {
	w := newWorld(t, withIstio)
	deleted := func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete }
	w.create("mesh", deleted)
	w.ready("mesh", w.git.first)
	w.create("renamed", deleted)
	w.notReady("renamed", v1alpha1.ReasonAnotherMeshSync)
	for _, name := range []string{"mesh", "renamed"} {
		must(t, w.admin.Delete(t.Context(), w.get(name)))
	}
	w.until("everything is gone", func() (bool, string) {
		err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "renamed"}, &v1alpha1.MeshSync{})
		return apierrors.IsNotFound(err) && len(w.names()) == 0, cmp.Diff(nil, keysOf(w.names()))
	})
}
