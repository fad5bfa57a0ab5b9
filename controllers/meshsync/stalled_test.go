package meshsync_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/testcluster"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

func TestYoungerMeshSyncWaitsAndTakesOver(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("a-first")
	w.Applied("a-first", w.Git.First)
	before := w.Objects()

	w.Create("b-second")
	ms := w.NotReady("b-second", v1alpha1.ReasonAnotherMeshSync)
	if !conditions.IsStalled(ms) || !strings.Contains(conditions.GetMessage(ms, meta.ReadyCondition), namespace+"/a-first") {
		t.Errorf("the younger MeshSync is not stalled or does not name the older one: %s", describe(ms))
	}
	must(t, w.Admin.Delete(t.Context(), ms.DeepCopy()))
	w.gone("b-second")
	if diff := cmp.Diff(before, w.Objects()); diff != "" {
		t.Errorf("a stalled MeshSync changed the cluster: -before, +after:\n%s", diff)
	}

	w.Create("b-second", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour })
	w.NotReady("b-second", v1alpha1.ReasonAnotherMeshSync)
	must(t, w.Admin.Delete(t.Context(), w.Get("a-first")))
	w.Applied("b-second", w.Git.First)
	id := ownership.ApplySetID("b-second", namespace, "MeshSync", "isthmus.dev")
	for name, object := range w.Objects() {
		was := before[name]
		if was == nil || was.GetUID() != object.GetUID() {
			t.Errorf("%s was created again instead of claimed", name)
		}
		if object.GetLabels()[ownership.LabelPartOf] != id {
			t.Errorf("%s was not claimed", name)
		}
	}
}

// gone waits for the deletion of a MeshSync.
func (w *world) gone(name string) {
	w.T.Helper()
	w.Until("MeshSync "+name+" is deleted", func() (bool, string) {
		ms := &v1alpha1.MeshSync{}
		err := w.Admin.Get(w.T.Context(), client.ObjectKey{Namespace: namespace, Name: name}, ms)
		return client.IgnoreNotFound(err) == nil && err != nil, describe(ms)
	})
}

func TestDeletionPolicies(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*v1alpha1.MeshSync)
		stays  bool
	}{
		"Default": {
			"the objects are orphaned: a mesh must not vanish because a user deleted a MeshSync",
			func(*v1alpha1.MeshSync) {}, true,
		},
		"Delete": {
			"the objects go with the MeshSync",
			func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete }, false,
		},
		"DeleteWhileSuspended": {
			"a suspended MeshSync deletes nothing, as in Flux",
			func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy, ms.Spec.Suspend = v1alpha1.DeletionDelete, true }, true,
		},
		"DeleteWithPruneSwitchedOff": {
			"the order to delete the MeshSync with all that it made is explicit, and prune is about what leaves the repository",
			func(ms *v1alpha1.MeshSync) {
				no := false
				ms.Spec.DeletionPolicy, ms.Spec.Prune.Enabled = v1alpha1.DeletionDelete, &no
			}, false,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, withIstio)
			foreign := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
				"metadata": map[string]any{"name": "foreign", "namespace": namespace},
				"spec":     map[string]any{"hosts": []any{"foreign.example.com"}, "resolution": "NONE"},
			}}
			must(t, w.Admin.Create(t.Context(), foreign))
			w.Create("mesh")
			w.Applied("mesh", w.Git.First)
			before := w.Objects()
			w.Change("mesh", tc.change)
			must(t, w.Admin.Delete(t.Context(), w.Get("mesh")))
			w.gone("mesh")
			want := before
			if !tc.stays {
				want = map[string]*unstructured.Unstructured{"ServiceEntry/" + namespace + "/foreign": foreign}
			}
			if diff := cmp.Diff(keysOf(want), keysOf(w.Objects())); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestClusterThatIsNotInTheInventoryIsNotTouched(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Cluster = "north" })
	ms := w.NotReady("mesh", v1alpha1.ReasonUnknownCluster)
	if !conditions.IsStalled(ms) || len(w.all()) != 0 {
		t.Errorf("stalled, and nothing is touched: %d objects, %s", len(w.all()), describe(ms))
	}

	// A cluster that leaves the inventory, or has another uid, keeps all objects.
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Cluster = "west" })
	w.Applied("mesh", w.Git.First)
	before := w.Objects()
	wrong := w.Git.Commit(map[string]string{"uid.cue": "package config\n\nclusters: west: uid: \"00000000-0000-0000-0000-000000000000\"\n"})
	ms = w.NotReady("mesh", v1alpha1.ReasonWrongCluster)
	if !conditions.IsStalled(ms) || !strings.HasSuffix(ms.Status.LastAttemptedRevision, wrong) {
		t.Errorf("stalled at the commit with the wrong uid: %s", describe(ms))
	}
	if diff := cmp.Diff(before, w.Objects()); diff != "" {
		t.Errorf("the cluster was touched: -before, +after:\n%s", diff)
	}

	system := &corev1.Namespace{}
	must(t, w.Admin.Get(t.Context(), client.ObjectKey{Name: metav1.NamespaceSystem}, system))
	w.Applied("mesh", w.Git.Commit(map[string]string{"uid.cue": "package config\n\nclusters: west: uid: \"" + string(system.UID) + "\"\n"}))
}

// holdMassDeletion applies a dozen services and removes them from the repository again.
func (w *world) holdMassDeletion() (commit string, ms *v1alpha1.MeshSync) {
	w.T.Helper()
	files := map[string]string{}
	// Each service is called by the one before, because a service without callers has no resources.
	files["services/extra12.cue"] = service("extra12")
	for i := range 12 {
		name := fmt.Sprintf("extra%d", i)
		files["services/"+name+".cue"] = service(name, fmt.Sprintf("extra%d", i+1))
	}
	w.Git.Commit(files)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour })
	before := w.Git.Commit(nil)
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = 200 * time.Millisecond })
	w.Applied("mesh", before)

	for name := range files {
		files[name] = ""
	}
	commit = w.Git.Commit(files)
	return commit, w.NotReady("mesh", plans.MassDeletion)
}

func (w *world) acknowledge(digest string) {
	w.T.Helper()
	w.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, v1alpha1.AcknowledgeAnnotation, digest)
	})
}

func TestHeldPlanIsAppliedAfterAcknowledgement(t *testing.T) {
	w := newWorld(t, withIstio)
	commit, ms := w.holdMassDeletion()
	if ms.Status.Held == nil || !conditions.IsStalled(ms) {
		t.Fatalf("the plan is not held: %s", describe(ms))
	}
	message := conditions.GetMessage(ms, meta.ReadyCondition)
	command := "kubectl -n " + namespace + " annotate --overwrite meshsync mesh isthmus.dev/acknowledge=" + ms.Status.Held.Digest
	if !strings.Contains(message, command) || !strings.Contains(message, "settings: acknowledge:") {
		t.Errorf("the message does not say how to acknowledge, here and in Git: %s", message)
	}
	if len(ms.Status.Pending) < 10 || len(ms.Status.Pending) > 20 {
		t.Errorf("the status does not list the planned writes: %s", describe(ms))
	}
	if objects := len(w.Objects()); objects < 26 {
		t.Errorf("a held plan changed the cluster: %d objects are left", objects)
	}
	digest := ms.Status.Held.Digest
	w.drift()

	// The user read the digest before another writer edited objects; the digest does not depend on
	// that.
	w.acknowledge(digest)
	ms = w.Applied("mesh", commit)
	if ms.Status.Held != nil || ms.Status.Acknowledged != nil || len(ms.Status.Pending) > 0 || ms.Status.Pruned < 10 {
		t.Errorf("the acknowledged plan is not applied: %s", describe(ms))
	}
	events := w.events.with(corev1.EventTypeNormal, v1alpha1.ReasonAcknowledged)
	if len(events) != 1 || !strings.Contains(events[0], digest) || !strings.Contains(events[0], "kubectl -n "+namespace+" annotate meshsync mesh isthmus.dev/acknowledge-") {
		t.Errorf("want one event with the loss and how to revoke the acknowledgement: %q", events)
	}
}

// A process dies after a part of an acknowledged plan.
func TestAcknowledgedLossIsNotHeldAgainAfterARestart(t *testing.T) {
	w := newWorld(t, withIstio)
	w.stop()
	deleted := atomic.Int64{}
	config := rest.CopyConfig(w.user())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			deletes := r.Method == http.MethodDelete && deleted.Add(1) > 3
			if deletes || r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/meshsyncs/") && deleted.Load() > 0 {
				return nil, errors.New("the process is dead")
			}
			return next.RoundTrip(r)
		})
	})
	w.startAs(config)
	commit, ms := w.holdMassDeletion()
	w.acknowledge(ms.Status.Held.Digest)
	w.Until("a part of the plan is applied", func() (bool, string) { return deleted.Load() > 3, fmt.Sprint(deleted.Load()) })
	w.stop()
	ms = w.Get("mesh")
	if ms.Status.Acknowledged == nil || ms.Status.Acknowledged.Remaining < 20 {
		t.Errorf("the status does not have the remaining acknowledgements:%s", describe(ms))
	}
	w.start()
	w.Until("the rest of the plan is applied", func() (bool, string) {
		ms := w.Get("mesh")
		if ms.Status.Held != nil && ms.Status.Held.Digest != ms.Annotations[v1alpha1.AcknowledgeAnnotation] {
			t.Fatalf("the rest is held again:%s", describe(ms))
		}
		return strings.HasSuffix(ms.Status.LastAppliedRevision, commit), describe(ms)
	})
}

func TestForeignObjectIsRefusedAndTheRestApplied(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	w.Until("the MeshSync has observed", func() (bool, string) { ms := w.Get("mesh"); return conditions.IsReady(ms), describe(ms) })
	// A run in mode Observe lists the objects, so that this test does not depend on the template.
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeApply })
	w.Applied("mesh", w.Git.First)
	victim := w.objects("ServiceEntry")[0]
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	must(t, w.Admin.Delete(t.Context(), w.Get("mesh")))
	w.gone("mesh")

	foreign := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
		"metadata": map[string]any{"name": victim.GetName(), "namespace": victim.GetNamespace()},
		"spec":     map[string]any{"hosts": []any{"foreign.example.com"}, "resolution": "NONE"},
	}}
	must(t, w.Admin.Create(t.Context(), foreign))
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonRefused)
	key := "ServiceEntry/" + victim.GetNamespace() + "/" + victim.GetName()
	if ms.Status.Refused != 1 || len(ms.Status.Errors) != 1 || ms.Status.Errors[0].Resource != key || !conditions.IsFalse(ms, meta.HealthyCondition) {
		t.Errorf("the status names the object: %s", describe(ms))
	}
	if ms.Status.LastAppliedRevision != "" {
		t.Errorf("the revision is not applied whole: %s", describe(ms))
	}
	if got := w.Objects()[key]; got == nil || got.GetUID() != foreign.GetUID() || got.GetResourceVersion() != foreign.GetResourceVersion() {
		t.Error("the foreign object was touched")
	}
	must(t, w.Admin.Delete(t.Context(), foreign))
	w.Applied("mesh", w.Git.First)
}

func TestMissingKindsAreReportedAndRetried(t *testing.T) {
	own, err := testcluster.MeshSyncCRD()
	must(t, err)
	fleet, err := apiserver.Start(context.Background(), apiserver.Options{Clusters: []string{"east"}, CRDs: []*apiextensionsv1.CustomResourceDefinition{own}})
	must(t, err)
	t.Cleanup(func() { must(t, fleet.Stop()) })
	w := newWorld(t, fleet.Clusters()[0])
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonKindUnavailable)
	if message := conditions.GetMessage(ms, meta.ReadyCondition); !strings.Contains(message, "serviceentries.networking.istio.io") || !strings.Contains(message, "install the CRDs") {
		t.Errorf("the message names the kind and says what to do: %s", message)
	}
	must(t, w.Cluster.Install(istio.CRDs()))
	w.Applied("mesh", w.Git.First)
}

func TestForbiddenKindsAreReportedAndRetried(t *testing.T) {
	w := newWorld(t, withIstio)
	w.stop()
	config, err := w.Cluster.AddUser(t.Context(), fmt.Sprintf("narrow-%d", users.Add(1)), withoutServiceEntries(t)...)
	must(t, err)
	w.startAs(config)
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonKindUnavailable)
	if message := conditions.GetMessage(ms, meta.ReadyCondition); !strings.Contains(message, "serviceentries.networking.istio.io") || !strings.Contains(message, "list and watch") {
		t.Errorf("the message names the kind and the verbs: %s", message)
	}
	if len(w.all()) != 0 {
		t.Errorf("want no objects, got %d", len(w.all()))
	}
}
