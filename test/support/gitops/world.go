package gitops

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

const (
	// Namespace is the controller's own, as config/manager has it, in which MeshSyncs are.
	Namespace = "isthmus-system"
	// Interval of a MeshSync, if a test does not say otherwise: short, so that tests are.
	Interval = 300 * time.Millisecond
	// Deadline is how long a wait may take on a busy machine, not how long anything takes.
	Deadline = 60 * time.Second
)

// World is one cluster and the repository that it follows.
type World struct {
	T       *testing.T
	Cluster *apiserver.Cluster
	// Admin may do everything.
	Admin client.WithWatch
	Git   *Repository
}

// NewWorld takes the cluster as it is.
func NewWorld(t *testing.T, cluster *apiserver.Cluster, git *Repository) *World {
	t.Helper()
	admin, err := Connect(cluster.Config)
	must(t, err)
	return &World{T: t, Cluster: cluster, Admin: admin, Git: git}
}

// Empty removes all MeshSyncs, at once and whatever they hold, and all objects of the managed kinds. It may be called when the test is over.
func (w *World) Empty() {
	w.T.Helper()
	ctx := context.Background()
	syncs := &v1alpha1.MeshSyncList{}
	must(w.T, w.Admin.List(ctx, syncs))
	for i := range syncs.Items {
		ms := &syncs.Items[i]
		before := ms.DeepCopy()
		ms.Finalizers = nil
		must(w.T, client.IgnoreNotFound(w.Admin.Patch(ctx, ms, client.MergeFrom(before))))
		must(w.T, client.IgnoreNotFound(w.Admin.Delete(ctx, ms)))
	}
	for _, object := range w.Objects() {
		must(w.T, client.IgnoreNotFound(w.Admin.Delete(ctx, object)))
	}
}

// Key is "Kind/namespace/name", by which the resources of a commit are called, too.
func Key(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// Objects are all of the managed kinds by [Key], whoever made them, but for the one Service that an API server makes itself; of a kind
// without a CRD there are none.
func (w *World) Objects() map[string]*unstructured.Unstructured {
	w.T.Helper()
	out := map[string]*unstructured.Unstructured{}
	for _, kind := range istio.Kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersionKind)
		err := w.Admin.List(context.Background(), list)
		if apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue
		}
		must(w.T, err)
		for i := range list.Items {
			out[Key(&list.Items[i])] = &list.Items[i]
		}
	}
	delete(out, "Service/default/kubernetes")
	return out
}

// Create makes a MeshSync of the cluster that follows the repository.
func (w *World) Create(name string, change ...func(*v1alpha1.MeshSync)) *v1alpha1.MeshSync {
	w.T.Helper()
	ms := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: Namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster:       w.Cluster.Name,
			Source:        v1alpha1.Source{URL: w.Git.URL(), Ref: &v1alpha1.Ref{Branch: "main"}},
			Interval:      metav1.Duration{Duration: Interval},
			RetryInterval: &metav1.Duration{Duration: Interval},
			// Nothing waits for other clusters, but where a test says otherwise.
			RoutingDelay: &metav1.Duration{}, WithdrawAfter: &metav1.Duration{},
		},
	}
	for _, f := range change {
		f(ms)
	}
	must(w.T, w.Admin.Create(w.T.Context(), ms))
	return ms
}

// Get reads a MeshSync. It may be called when the test is over.
func (w *World) Get(name string) *v1alpha1.MeshSync {
	w.T.Helper()
	ms := &v1alpha1.MeshSync{}
	must(w.T, w.Admin.Get(context.Background(), client.ObjectKey{Namespace: Namespace, Name: name}, ms))
	return ms
}

// Change patches a MeshSync.
func (w *World) Change(name string, f func(*v1alpha1.MeshSync)) {
	w.T.Helper()
	ms := w.Get(name)
	before := ms.DeepCopy()
	f(ms)
	must(w.T, w.Admin.Patch(w.T.Context(), ms, client.MergeFrom(before)))
}

// Until is [Until] for the world's own test.
func (w *World) Until(what string, ok func() (bool, string)) {
	w.T.Helper()
	Until(w.T, what, ok)
}

// Until polls for a state, and ends the test with what it last was where it does not come within [Deadline].
func Until(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(context.Background(), 25*time.Millisecond, Deadline, true, func(context.Context) (is bool, _ error) {
		is, last = ok()
		return is, nil
	})
	if err != nil {
		t.Fatalf("waited %s in vain until %s; last: %s", Deadline, what, last)
	}
}

// Applied waits for the MeshSync to say that this commit is applied, and nothing newer was tried.
func (w *World) Applied(name, commit string) *v1alpha1.MeshSync {
	w.T.Helper()
	var ms *v1alpha1.MeshSync
	w.Until("MeshSync "+name+" is ready at "+commit, func() (bool, string) {
		ms = w.Get(name)
		return conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, commit) &&
			strings.HasSuffix(ms.Status.LastAttemptedRevision, commit) && ms.Status.ObservedGeneration == ms.Generation, Describe(ms)
	})
	return ms
}

// NotReady waits for the Ready condition to be False for this reason.
func (w *World) NotReady(name, reason string) *v1alpha1.MeshSync {
	w.T.Helper()
	var ms *v1alpha1.MeshSync
	w.Until("MeshSync "+name+" is not ready for the reason "+reason, func() (bool, string) {
		ms = w.Get(name)
		return conditions.IsFalse(ms, meta.ReadyCondition) && conditions.GetReason(ms, meta.ReadyCondition) == reason, Describe(ms)
	})
	return ms
}

// Polled waits until Git was asked n more times, which is how a test knows that so many intervals have passed.
func (w *World) Polled(n int64) {
	w.T.Helper()
	from := w.Git.Asked.Load()
	w.Until(fmt.Sprintf("Git is asked %d times", n), func() (bool, string) {
		return w.Git.Asked.Load() >= from+n, fmt.Sprint(w.Git.Asked.Load() - from)
	})
}

// Describe is the status of a MeshSync, for a person.
func Describe(ms *v1alpha1.MeshSync) string {
	text, _ := yaml.Marshal(ms.Status)
	return "\n" + string(text)
}
