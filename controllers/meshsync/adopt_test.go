package meshsync_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// byHand leaves the cluster with the objects of the repository, written by a user, and no MeshSync.
func (w *world) byHand(edit func(*unstructured.Unstructured)) map[string]*unstructured.Unstructured {
	w.T.Helper()
	w.Create("first")
	w.Applied("first", w.Git.First)
	written := w.Objects()
	w.empty()
	for _, object := range written {
		object.SetUID("")
		object.SetResourceVersion("")
		object.SetManagedFields(nil)
		object.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "platform"})
		object.SetAnnotations(map[string]string{"platform.example.com/ticket": "42"})
		edit(object)
		must(w.T, w.Admin.Create(w.T.Context(), object, client.FieldOwner("kubectl-client-side-apply")))
	}
	w.start()
	return written
}

func TestHandWrittenObjectsAreAdoptedAfterAPreview(t *testing.T) {
	w := newWorld(t, withIstio)
	operated := ""
	written := w.byHand(func(object *unstructured.Unstructured) {
		switch object.GetKind() {
		case "ServiceEntry":
			if operated == "" {
				operated = "ServiceEntry/" + object.GetNamespace() + "/" + object.GetName()
				object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "operator", UID: "1", Controller: new(true)}})
			}
			must(t, unstructured.SetNestedField(object.Object, []any{"by-hand.example.com"}, "spec", "hosts"))
		case "DestinationRule":
			object.SetLabels(nil) // not chosen
		}
	})
	chosen := v1alpha1.Adopt{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/managed-by": "platform"}}}
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Adopt = &chosen })

	ms := w.NotReady("mesh", v1alpha1.ReasonRefused)
	if ms.Spec.Adopt.Mode != v1alpha1.ModeObserve || ms.Status.AdoptableCount == 0 || ms.Status.AdoptableCount != int64(len(ms.Status.Adoptable)) {
		t.Fatalf("the adoptable objects are not listed: %s", describe(ms))
	}
	for _, p := range ms.Status.Adoptable {
		kind, _, _ := strings.Cut(p.Resource, "/")
		if p.Verb != "adopt" || kind == "DestinationRule" || p.Resource == operated || (kind == "ServiceEntry") != slices.Contains(p.Fields, "spec.hosts") {
			t.Errorf("%+v", p)
		}
	}
	for key, object := range w.Objects() {
		if object.GetResourceVersion() != written[key].GetResourceVersion() {
			t.Errorf("%s was written", key)
		}
	}
	sent := len(w.requests.list())
	w.Polled(5)
	if extra := w.requests.list()[sent:]; len(extra) > 0 {
		t.Errorf("five intervals with nothing new sent %q", extra)
	}

	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Adopt.Mode = v1alpha1.ModeApply })
	w.Until("all adoptable objects are adopted", func() (bool, string) {
		ms = w.Get("mesh")
		return ms.Status.ObservedGeneration == ms.Generation && ms.Status.AdoptableCount == 0, describe(ms)
	})
	for key, object := range w.Objects() {
		taken := object.GetLabels()[ownership.LabelPartOf] != ""
		if want := object.GetKind() != "DestinationRule" && key != operated; taken != want {
			t.Errorf("%s is adopted: %v; chosen: %v", key, taken, want)
		}
		if object.GetUID() != written[key].GetUID() || object.GetAnnotations()["platform.example.com/ticket"] != "42" {
			t.Errorf("%s was replaced or lost fields of other writers", key)
		}
		if hosts, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts"); taken && slices.Contains(hosts, "by-hand.example.com") {
			t.Errorf("%s differs from the repository", key)
		}
	}
	if refused := w.Get("mesh").Status.Errors; !slices.ContainsFunc(refused, func(e v1alpha1.SyncError) bool {
		return e.Resource == operated && strings.Contains(e.Message, "ConfigMap operator owns it")
	}) {
		t.Errorf("the object of another controller is not refused: %+v", refused)
	}
}

func TestOnlyNamedObjectsAreAdopted(t *testing.T) {
	w := newWorld(t, withIstio)
	written := w.byHand(func(*unstructured.Unstructured) {})
	names := slices.Sorted(maps.Keys(written))
	w.Create("mesh", func(ms *v1alpha1.MeshSync) {
		ms.Spec.Adopt = &v1alpha1.Adopt{Names: names[:2], Mode: v1alpha1.ModeApply}
	})
	w.Until("two are adopted", func() (bool, string) {
		ms := w.Get("mesh")
		return ms.Status.Applied == 2 && ms.Status.Refused == int64(len(names)-2), describe(ms)
	})
	var taken []string
	for _, key := range names {
		if w.Objects()[key].GetLabels()[ownership.LabelPartOf] != "" {
			taken = append(taken, key)
		}
	}
	if diff := cmp.Diff(names[:2], taken); diff != "" {
		t.Errorf("-named, +adopted:\n%s", diff)
	}
}
