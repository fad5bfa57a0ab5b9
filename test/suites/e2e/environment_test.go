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

// environment is one cluster, emptied for the test, and the repository that it follows.
type environment struct{ *gitops.Env }

// newEnvironment is the cluster east and a repository with the content of examples/quickstart.
func newEnvironment(t *testing.T) *environment {
	t.Helper()
	return environmentOf(newRepository(t), east)
}

func newRepository(t *testing.T) *gitops.Repository {
	t.Helper()
	return gitops.NewRepository(t, os.DirFS(root+"examples/quickstart"))
}

// environmentOf empties a cluster for a test that follows the repository.
func environmentOf(git *gitops.Repository, name string) *environment {
	git.T.Helper()
	env := &environment{gitops.NewEnv(git.T, suite.Fleet.Cluster(name), git)}
	env.empty()
	return env
}

// empty restores the state after the installation.
func (env *environment) empty() {
	env.T.Helper()
	env.Empty()
	ctx := context.Background()
	must(env.T, env.Admin.DeleteAllOf(ctx, &coordinationv1.Lease{}, client.InNamespace(namespace)))
	must(env.T, env.Admin.DeleteAllOf(ctx, &corev1.Event{}, client.InNamespace(namespace)))
	must(env.T, env.Admin.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(namespace)))

	namespaces := &corev1.NamespaceList{}
	must(env.T, env.Admin.List(ctx, namespaces))
	for i := range namespaces.Items {
		n := &namespaces.Items[i]
		if n.Name == "default" || n.Name == namespace || n.Name == "istio-system" || strings.HasPrefix(n.Name, "kube-") {
			continue
		}
		// The namespace controller of Kubernetes does not run, so the test finalizes the namespace.
		must(env.T, client.IgnoreNotFound(env.Admin.Delete(ctx, n)))
		must(env.T, client.IgnoreNotFound(env.Admin.Get(ctx, client.ObjectKeyFromObject(n), n)))
		n.Spec.Finalizers = nil
		must(env.T, client.IgnoreNotFound(env.Admin.SubResource("finalize").Update(ctx, n)))
	}
}

// token returns a token of the controller's ServiceAccount. The permissions of the ServiceAccount
// are in effect.
func (env *environment) token() string {
	env.T.Helper()
	token, err := gitops.Token(env.T.Context(), env.Admin)
	must(env.T, err)
	env.waitForPermission(true, "meshsyncs", v1alpha1.GroupVersion.Group, "watch")
	return token
}

// waitForPermission waits until the authorizer of the API server has or lacks a permission of the
// controller.
func (env *environment) waitForPermission(want bool, resource, group, verb string) {
	env.T.Helper()
	env.Until(fmt.Sprintf("the permission to %s %s is %v", verb, resource, want), func() (bool, string) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":isthmus-controller",
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: group, Resource: resource, Verb: verb},
		}}
		must(env.T, env.Admin.Create(env.T.Context(), review))
		return review.Status.Allowed == want, review.Status.Reason
	})
}

// versions returns the version of each object. It changes with every write.
func (env *environment) versions() map[string]string {
	env.T.Helper()
	out := map[string]string{}
	for key, object := range env.Objects() {
		out[key] = gitops.Version(object)
	}
	return out
}

// uids returns the UID of each object. It changes if the object is re-created.
func (env *environment) uids() map[string]string {
	env.T.Helper()
	out := map[string]string{}
	for key, object := range env.Objects() {
		out[key] = string(object.GetUID())
	}
	return out
}

// create creates an object and its namespace, as a user does.
func (env *environment) create(object *unstructured.Unstructured) *unstructured.Unstructured {
	env.T.Helper()
	created := object.DeepCopy()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: created.GetNamespace()}}
	if err := env.Admin.Create(env.T.Context(), n); !apierrors.IsAlreadyExists(err) {
		must(env.T, err)
	}
	must(env.T, env.Admin.Create(env.T.Context(), created, client.FieldOwner("kubectl-create")))
	return created
}

// haltOnError sets spec.onError to Halt.
func haltOnError(ms *v1alpha1.MeshSync) { ms.Spec.OnError = v1alpha1.OnErrorHalt }

// pollHourly ensures that only events of the cluster start a reconciliation.
func pollHourly(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour }

// delete deletes a MeshSync and waits until it is gone.
func (env *environment) delete(name string) {
	env.T.Helper()
	must(env.T, env.Admin.Delete(env.T.Context(), env.Get(name)))
	env.Until("MeshSync "+name+" is gone", func() (bool, string) {
		ms := &v1alpha1.MeshSync{}
		err := env.Admin.Get(env.T.Context(), client.ObjectKey{Namespace: namespace, Name: name}, ms)
		return apierrors.IsNotFound(err), describe(ms)
	})
}

// ready waits until the status says that the commit is applied. At that moment the cluster must
// equal the cue export of the commit.
func (env *environment) ready(name, commit string) *v1alpha1.MeshSync {
	env.T.Helper()
	ms := env.Applied(name, commit)
	if diff := env.diff(commit); diff != "" {
		env.T.Fatalf("MeshSync %s says that %s is applied, but cue export (-) and the cluster (+) differ:\n%s", name, commit, diff)
	}
	return ms
}

// notReadyAt waits until the commit is the last attempted revision and Ready is False with the
// reason.
func (env *environment) notReadyAt(name, reason, commit string) *v1alpha1.MeshSync {
	env.T.Helper()
	var ms *v1alpha1.MeshSync
	env.Until("MeshSync "+name+" is not ready at "+commit+" with reason "+reason, func() (bool, string) {
		ms = env.Get(name)
		return conditions.IsFalse(ms, meta.ReadyCondition) && conditions.GetReason(ms, meta.ReadyCondition) == reason &&
			strings.HasSuffix(ms.Status.LastAttemptedRevision, commit) && strings.Contains(message(ms), commit[:12]), describe(ms)
	})
	return ms
}

func message(ms *v1alpha1.MeshSync) string { return conditions.GetMessage(ms, meta.ReadyCondition) }

// events returns the messages of all events of MeshSyncs with this reason.
func (env *environment) events(reason string) []string {
	env.T.Helper()
	list := &corev1.EventList{}
	must(env.T, env.Admin.List(env.T.Context(), list, client.InNamespace(namespace)))
	var out []string
	for _, e := range list.Items {
		if e.Reason == reason && e.InvolvedObject.Kind == v1alpha1.MeshSyncKind {
			out = append(out, e.Message)
		}
	}
	return out
}

func stalled(ms *v1alpha1.MeshSync) bool {
	return conditions.IsStalled(ms) && !conditions.IsReconciling(ms)
}
