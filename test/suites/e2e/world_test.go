package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// world is one cluster, emptied for the test, and the repository that it follows.
type world struct{ *gitops.World }

// newWorld is the cluster east and a repository with the content of examples/quickstart.
func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOf(newRepository(t), east)
}

func newRepository(t *testing.T) *gitops.Repository {
	t.Helper()
	return gitops.NewRepository(t, os.DirFS(root+"examples/quickstart"))
}

// worldOf empties a cluster for a test that follows this repository.
func worldOf(git *gitops.Repository, name string) *world {
	git.T.Helper()
	w := &world{gitops.NewWorld(git.T, fleet.Cluster(name), git)}
	w.empty()
	return w
}

// empty leaves the cluster as it was after its installation.
func (w *world) empty() {
	w.T.Helper()
	w.Empty()
	ctx := context.Background()
	must(w.T, w.Admin.DeleteAllOf(ctx, &coordinationv1.Lease{}, client.InNamespace(namespace)))
	must(w.T, w.Admin.DeleteAllOf(ctx, &corev1.Event{}, client.InNamespace(namespace)))
	must(w.T, w.Admin.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(namespace)))

	namespaces := &corev1.NamespaceList{}
	must(w.T, w.Admin.List(ctx, namespaces))
	for i := range namespaces.Items {
		n := &namespaces.Items[i]
		if n.Name == "default" || n.Name == namespace || n.Name == "istio-system" || strings.HasPrefix(n.Name, "kube-") {
			continue
		}
		// No controller of Kubernetes runs that would end it.
		must(w.T, client.IgnoreNotFound(w.Admin.Delete(ctx, n)))
		must(w.T, client.IgnoreNotFound(w.Admin.Get(ctx, client.ObjectKeyFromObject(n), n)))
		n.Spec.Finalizers = nil
		must(w.T, client.IgnoreNotFound(w.Admin.SubResource("finalize").Update(ctx, n)))
	}
}

// token is one of the controller's ServiceAccount, as a pod gets it.
func (w *world) token() string {
	w.T.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "isthmus-controller"}}
	request := &authenticationv1.TokenRequest{}
	must(w.T, w.Admin.SubResource("token").Create(w.T.Context(), account, request))
	w.permitted(true, "meshsyncs", v1alpha1.GroupVersion.Group, "watch")
	return request.Status.Token
}

// permitted waits until the API server has taken note of the controller's rights.
func (w *world) permitted(want bool, resource, group, verb string) {
	w.T.Helper()
	w.Until(fmt.Sprintf("the right to %s %s is %v", verb, resource, want), func() (bool, string) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":isthmus-controller",
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: group, Resource: resource, Verb: verb},
		}}
		must(w.T, w.Admin.Create(w.T.Context(), review))
		return review.Status.Allowed == want, review.Status.Reason
	})
}

// versions are the objects' resourceVersions with their uids: equal ones mean that nobody wrote anything.
func (w *world) versions() map[string]string {
	w.T.Helper()
	out := map[string]string{}
	for key, object := range w.Objects() {
		out[key] = string(object.GetUID()) + " " + object.GetResourceVersion()
	}
	return out
}

// uids tell an object that was changed from one that was made anew.
func (w *world) uids() map[string]string {
	w.T.Helper()
	out := map[string]string{}
	for key, object := range w.Objects() {
		out[key] = string(object.GetUID())
	}
	return out
}

// make creates an object as a person does.
func (w *world) make(object *unstructured.Unstructured) *unstructured.Unstructured {
	w.T.Helper()
	made := object.DeepCopy()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: made.GetNamespace()}}
	if err := w.Admin.Create(w.T.Context(), n); !apierrors.IsAlreadyExists(err) {
		must(w.T, err)
	}
	must(w.T, w.Admin.Create(w.T.Context(), made, client.FieldOwner("kubectl-create")))
	return made
}

// halting makes every error halt a commit.
func halting(ms *v1alpha1.MeshSync) { ms.Spec.OnError = v1alpha1.OnErrorHalt }

// hourly keeps Git from being looked at again, so that only what happens in the cluster can wake the controller.
func hourly(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour }

// delete deletes a MeshSync and waits until it is gone.
func (w *world) delete(name string) {
	w.T.Helper()
	must(w.T, w.Admin.Delete(w.T.Context(), w.Get(name)))
	w.Until("MeshSync "+name+" is gone", func() (bool, string) {
		ms := &v1alpha1.MeshSync{}
		err := w.Admin.Get(w.T.Context(), client.ObjectKey{Namespace: namespace, Name: name}, ms)
		return apierrors.IsNotFound(err), describe(ms)
	})
}

// ready waits for the MeshSync to say that this commit is applied, and then holds the cluster against what plain CUE
// exports from it at once: it must be true when it is said.
func (w *world) ready(name, commit string) *v1alpha1.MeshSync {
	w.T.Helper()
	ms := w.Applied(name, commit)
	if diff := w.differs(commit); diff != "" {
		w.T.Fatalf("MeshSync %s says that %s is applied, but cue export (-) and the cluster (+) differ:\n%s", name, commit, diff)
	}
	return ms
}

// refuses waits until this very commit is refused for this reason.
func (w *world) refuses(name, reason, commit string) *v1alpha1.MeshSync {
	w.T.Helper()
	var ms *v1alpha1.MeshSync
	w.Until("MeshSync "+name+" refuses "+commit+" for the reason "+reason, func() (bool, string) {
		ms = w.Get(name)
		return conditions.IsFalse(ms, meta.ReadyCondition) && conditions.GetReason(ms, meta.ReadyCondition) == reason &&
			strings.HasSuffix(ms.Status.LastAttemptedRevision, commit) && strings.Contains(message(ms), commit[:12]), describe(ms)
	})
	return ms
}

func message(ms *v1alpha1.MeshSync) string { return conditions.GetMessage(ms, meta.ReadyCondition) }

// events of a reason about MeshSyncs, their messages.
func (w *world) events(reason string) []string {
	w.T.Helper()
	list := &corev1.EventList{}
	must(w.T, w.Admin.List(w.T.Context(), list, client.InNamespace(namespace)))
	var out []string
	for _, e := range list.Items {
		if e.Reason == reason && e.InvolvedObject.Kind == v1alpha1.MeshSyncKind {
			out = append(out, e.Message)
		}
	}
	return out
}

var describe = gitops.Describe

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func stalled(ms *v1alpha1.MeshSync) bool {
	return conditions.IsStalled(ms) && !conditions.IsReconciling(ms)
}
