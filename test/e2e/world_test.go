package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/apiserver"
)

// interval of a MeshSync, if a test does not say otherwise: short, so that tests are.
const interval = 300 * time.Millisecond

// world is one cluster, emptied for the test, and the repository that it follows.
type world struct {
	t       *testing.T
	cluster *apiserver.Cluster
	admin   client.Client
	git     *repository
}

// newWorld is the cluster east and a repository with the content of examples/quickstart.
func newWorld(t *testing.T) *world {
	t.Helper()
	return newRepository(t).cluster(east)
}

// cluster empties a cluster for a test that follows this repository.
func (r *repository) cluster(name string) *world {
	r.t.Helper()
	w := &world{t: r.t, cluster: fleet.Cluster(name), git: r}
	var err error
	w.admin, err = connect(w.cluster)
	must(r.t, err)
	w.empty()
	return w
}

func connect(cluster *apiserver.Cluster) (client.Client, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme),
		authorizationv1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return nil, err
	}
	return client.New(cluster.Config, client.Options{Scheme: scheme})
}

// applyFiles creates or replaces all objects of these files of the checkout.
func applyFiles(ctx context.Context, admin client.Client, files ...string) error {
	for _, file := range files {
		text, err := os.ReadFile(root + file)
		if err != nil {
			return err
		}
		decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(object); err != nil {
				if errors.Is(err, io.EOF) {
					break
				}
				return fmt.Errorf("%s: %w", file, err)
			}
			if len(object.Object) == 0 {
				continue
			}
			err := admin.Create(ctx, object.DeepCopy())
			if apierrors.IsAlreadyExists(err) {
				err = admin.Update(ctx, object)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// empty leaves the cluster as it was after its installation.
func (w *world) empty() {
	w.t.Helper()
	ctx := context.Background()
	syncs := &v1alpha1.MeshSyncList{}
	must(w.t, w.admin.List(ctx, syncs))
	for i := range syncs.Items {
		ms := &syncs.Items[i]
		before := ms.DeepCopy()
		ms.Finalizers = nil
		must(w.t, client.IgnoreNotFound(w.admin.Patch(ctx, ms, client.MergeFrom(before))))
		must(w.t, client.IgnoreNotFound(w.admin.Delete(ctx, ms)))
	}
	for _, object := range w.objects() {
		must(w.t, client.IgnoreNotFound(w.admin.Delete(ctx, object)))
	}
	must(w.t, w.admin.DeleteAllOf(ctx, &coordinationv1.Lease{}, client.InNamespace(namespace)))
	must(w.t, w.admin.DeleteAllOf(ctx, &corev1.Event{}, client.InNamespace(namespace)))
	must(w.t, w.admin.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(namespace)))

	namespaces := &corev1.NamespaceList{}
	must(w.t, w.admin.List(ctx, namespaces))
	for i := range namespaces.Items {
		n := &namespaces.Items[i]
		if n.Name == "default" || n.Name == namespace || n.Name == "istio-system" || strings.HasPrefix(n.Name, "kube-") {
			continue
		}
		// No controller of Kubernetes runs that would end it.
		must(w.t, client.IgnoreNotFound(w.admin.Delete(ctx, n)))
		must(w.t, client.IgnoreNotFound(w.admin.Get(ctx, client.ObjectKeyFromObject(n), n)))
		n.Spec.Finalizers = nil
		must(w.t, client.IgnoreNotFound(w.admin.SubResource("finalize").Update(ctx, n)))
	}
}

// token is one of the controller's ServiceAccount, as a pod gets it.
func (w *world) token() string {
	w.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "isthmus-controller"}}
	request := &authenticationv1.TokenRequest{}
	must(w.t, w.admin.SubResource("token").Create(w.t.Context(), account, request))
	w.permitted(true, "meshsyncs", v1alpha1.GroupVersion.Group, "watch")
	return request.Status.Token
}

// permitted waits until the API server has taken note of the controller's rights.
func (w *world) permitted(want bool, resource, group, verb string) {
	w.t.Helper()
	w.until(fmt.Sprintf("the right to %s %s is %v", verb, resource, want), func() (bool, string) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":isthmus-controller",
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: group, Resource: resource, Verb: verb},
		}}
		must(w.t, w.admin.Create(w.t.Context(), review))
		return review.Status.Allowed == want, review.Status.Reason
	})
}

// objects are all of the managed kinds, whoever made them, but for the one Service that an API server makes itself; of a kind
// without a CRD there are none.
func (w *world) objects() map[string]*unstructured.Unstructured {
	w.t.Helper()
	out := map[string]*unstructured.Unstructured{}
	for _, kind := range istio.Kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersionKind)
		err := w.admin.List(context.Background(), list)
		if apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue
		}
		must(w.t, err)
		for i := range list.Items {
			out[keyOf(&list.Items[i])] = &list.Items[i]
		}
	}
	delete(out, "Service/default/kubernetes")
	return out
}

func keyOf(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// versions are the objects' resourceVersions with their uids: equal ones mean that nobody wrote anything.
func (w *world) versions() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for key, object := range w.objects() {
		out[key] = string(object.GetUID()) + " " + object.GetResourceVersion()
	}
	return out
}

// uids tell an object that was changed from one that was made anew.
func (w *world) uids() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for key, object := range w.objects() {
		out[key] = string(object.GetUID())
	}
	return out
}

// make creates an object as a person does.
func (w *world) make(object *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	made := object.DeepCopy()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: made.GetNamespace()}}
	if err := w.admin.Create(w.t.Context(), n); !apierrors.IsAlreadyExists(err) {
		must(w.t, err)
	}
	must(w.t, w.admin.Create(w.t.Context(), made, client.FieldOwner("kubectl-create")))
	return made
}

// create makes a MeshSync of the cluster that follows the repository.
func (w *world) create(name string, change ...func(*v1alpha1.MeshSync)) *v1alpha1.MeshSync {
	w.t.Helper()
	ms := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster:       w.cluster.Name,
			Source:        v1alpha1.Source{URL: w.git.url(), Ref: &v1alpha1.Ref{Branch: "main"}},
			Interval:      metav1.Duration{Duration: interval},
			RetryInterval: &metav1.Duration{Duration: interval},
			// Nothing waits for other clusters, but where a test says otherwise.
			SettleAfter: &metav1.Duration{}, WithdrawAfter: &metav1.Duration{},
		},
	}
	for _, f := range change {
		f(ms)
	}
	must(w.t, w.admin.Create(w.t.Context(), ms))
	return ms
}

// halting makes every error halt a commit.
func halting(ms *v1alpha1.MeshSync) { ms.Spec.OnError = v1alpha1.OnErrorHalt }

// hourly keeps Git from being looked at again, so that only what happens in the cluster can wake the controller.
func hourly(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour }

func (w *world) get(name string) *v1alpha1.MeshSync {
	w.t.Helper()
	ms := &v1alpha1.MeshSync{}
	must(w.t, w.admin.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, ms))
	return ms
}

func (w *world) change(name string, f func(*v1alpha1.MeshSync)) {
	w.t.Helper()
	ms := w.get(name)
	before := ms.DeepCopy()
	f(ms)
	must(w.t, w.admin.Patch(w.t.Context(), ms, client.MergeFrom(before)))
}

// delete deletes a MeshSync and waits until it is gone.
func (w *world) delete(name string) {
	w.t.Helper()
	must(w.t, w.admin.Delete(w.t.Context(), w.get(name)))
	w.until("MeshSync "+name+" is gone", func() (bool, string) {
		ms := &v1alpha1.MeshSync{}
		err := w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, ms)
		return apierrors.IsNotFound(err), describe(ms)
	})
}

// until polls for a state and fails with what it last was.
func (w *world) until(what string, ok func() (bool, string)) {
	w.t.Helper()
	var last string
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(25 * time.Millisecond) {
		var is bool
		if is, last = ok(); is {
			return
		}
	}
	w.t.Fatalf("waited %s in vain until %s; last: %s", deadline, what, last)
}

// ready waits for the MeshSync to say that this commit is applied, and then holds the cluster against what plain CUE
// exports from it at once: it must be true when it is said.
func (w *world) ready(name, commit string) *v1alpha1.MeshSync {
	w.t.Helper()
	ms := w.says(name, commit)
	if diff := w.differs(commit); diff != "" {
		w.t.Fatalf("MeshSync %s says that %s is applied, but cue export (-) and the cluster (+) differ:\n%s", name, commit, diff)
	}
	return ms
}

// says waits for the MeshSync to say that this commit is applied.
func (w *world) says(name, commit string) *v1alpha1.MeshSync {
	w.t.Helper()
	var ms *v1alpha1.MeshSync
	w.until("MeshSync "+name+" is ready at "+commit, func() (bool, string) {
		ms = w.get(name)
		return conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, commit) &&
			strings.HasSuffix(ms.Status.LastAttemptedRevision, commit) && ms.Status.ObservedGeneration == ms.Generation, describe(ms)
	})
	return ms
}

// notReady waits for the Ready condition to be False for this reason.
func (w *world) notReady(name, reason string) *v1alpha1.MeshSync {
	w.t.Helper()
	var ms *v1alpha1.MeshSync
	w.until("MeshSync "+name+" is not ready for the reason "+reason, func() (bool, string) {
		ms = w.get(name)
		return conditions.IsFalse(ms, meta.ReadyCondition) && conditions.GetReason(ms, meta.ReadyCondition) == reason, describe(ms)
	})
	return ms
}

// refuses waits until this very commit is refused for this reason.
func (w *world) refuses(name, reason, commit string) *v1alpha1.MeshSync {
	w.t.Helper()
	var ms *v1alpha1.MeshSync
	w.until("MeshSync "+name+" refuses "+commit+" for the reason "+reason, func() (bool, string) {
		ms = w.get(name)
		return conditions.IsFalse(ms, meta.ReadyCondition) && conditions.GetReason(ms, meta.ReadyCondition) == reason &&
			strings.HasSuffix(ms.Status.LastAttemptedRevision, commit) && strings.Contains(message(ms), commit[:12]), describe(ms)
	})
	return ms
}

func message(ms *v1alpha1.MeshSync) string { return conditions.GetMessage(ms, meta.ReadyCondition) }

// polled waits until Git was asked n more times, which is how a test knows that so many intervals have passed.
func (w *world) polled(n int64) {
	w.t.Helper()
	from := w.git.asked.Load()
	w.until(fmt.Sprintf("Git is asked %d times", n), func() (bool, string) {
		return w.git.asked.Load() >= from+n, fmt.Sprint(w.git.asked.Load() - from)
	})
}

// events of a reason about MeshSyncs, their messages.
func (w *world) events(reason string) []string {
	w.t.Helper()
	list := &corev1.EventList{}
	must(w.t, w.admin.List(w.t.Context(), list, client.InNamespace(namespace)))
	var out []string
	for _, e := range list.Items {
		if e.Reason == reason && e.InvolvedObject.Kind == v1alpha1.MeshSyncKind {
			out = append(out, e.Message)
		}
	}
	return out
}

func describe(ms *v1alpha1.MeshSync) string {
	text, _ := yaml.Marshal(ms.Status)
	return "\n" + string(text)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func stalled(ms *v1alpha1.MeshSync) bool {
	return conditions.IsStalled(ms) && !conditions.IsReconciling(ms)
}
