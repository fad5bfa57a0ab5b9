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
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

const (
	// Namespace contains the controller and its MeshSyncs, as in config/manager.
	Namespace = "isthmus-system"
	// Interval is the default interval of a MeshSync. It is short to keep tests short.
	Interval = 300 * time.Millisecond
	// Deadline limits every wait. It is long enough for a busy machine.
	Deadline = 60 * time.Second
)

// Env is one cluster and the repository that it follows.
type Env struct {
	T       *testing.T
	Cluster *apiserver.Cluster
	// Admin has all permissions.
	Admin client.WithWatch
	Git   *Repository
}

// NewEnv leaves the cluster as it is.
func NewEnv(t *testing.T, cluster *apiserver.Cluster, git *Repository) *Env {
	t.Helper()
	admin, err := Connect(cluster.Config)
	Must(t, err)
	return &Env{T: t, Cluster: cluster, Admin: admin, Git: git}
}

// Empty deletes all MeshSyncs without running their finalizers, and all objects of the managed
// kinds. It may be called in a cleanup.
func (e *Env) Empty() {
	e.T.Helper()
	ctx := context.Background()
	syncs := &v1alpha1.MeshSyncList{}
	Must(e.T, e.Admin.List(ctx, syncs))
	for i := range syncs.Items {
		ms := &syncs.Items[i]
		before := ms.DeepCopy()
		ms.Finalizers = nil
		Must(e.T, client.IgnoreNotFound(e.Admin.Patch(ctx, ms, client.MergeFrom(before))))
		Must(e.T, client.IgnoreNotFound(e.Admin.Delete(ctx, ms)))
	}
	for _, object := range e.Objects() {
		Must(e.T, client.IgnoreNotFound(e.Admin.Delete(ctx, object)))
	}
}

// Objects is [List]. A kind without a CRD has no objects.
func (e *Env) Objects() map[string]*unstructured.Unstructured {
	e.T.Helper()
	objects, err := List(context.Background(), e.Admin, func(err error) bool { return apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) })
	Must(e.T, err)
	return objects
}

// Create creates a MeshSync of the cluster that follows the repository.
func (e *Env) Create(name string, change ...func(*v1alpha1.MeshSync)) *v1alpha1.MeshSync {
	e.T.Helper()
	ms := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: Namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster:       e.Cluster.Name,
			Source:        v1alpha1.Source{URL: e.Git.URL(), Ref: &v1alpha1.Ref{Branch: "main"}},
			Interval:      metav1.Duration{Duration: Interval},
			RetryInterval: &metav1.Duration{Duration: Interval},
			// No deferral and no withdrawal, unless a test sets them.
			RoutingDelay: &metav1.Duration{}, WithdrawAfter: &metav1.Duration{},
		},
	}
	for _, f := range change {
		f(ms)
	}
	Must(e.T, e.Admin.Create(e.T.Context(), ms))
	return ms
}

// Get reads a MeshSync. It may be called in a cleanup.
func (e *Env) Get(name string) *v1alpha1.MeshSync {
	e.T.Helper()
	ms := &v1alpha1.MeshSync{}
	Must(e.T, e.Admin.Get(context.Background(), client.ObjectKey{Namespace: Namespace, Name: name}, ms))
	return ms
}

// Change patches a MeshSync.
func (e *Env) Change(name string, f func(*v1alpha1.MeshSync)) {
	e.T.Helper()
	ms := e.Get(name)
	before := ms.DeepCopy()
	f(ms)
	Must(e.T, e.Admin.Patch(e.T.Context(), ms, client.MergeFrom(before)))
}

// Until is [Until] for the test of this environment.
func (e *Env) Until(what string, ok func() (bool, string)) {
	e.T.Helper()
	Until(e.T, what, ok)
}

// Until polls until ok returns true. After [Deadline] it ends the test with the last text of ok.
func Until(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(context.Background(), 25*time.Millisecond, Deadline, true, func(context.Context) (is bool, _ error) {
		is, last = ok()
		return is, nil
	})
	if err != nil {
		t.Fatalf("timed out after %s waiting until %s; last: %s", Deadline, what, last)
	}
}

// Applied waits until a commit is the last attempted and the last applied revision and Ready is
// True.
func (e *Env) Applied(name, commit string) *v1alpha1.MeshSync {
	e.T.Helper()
	var ms *v1alpha1.MeshSync
	e.Until("MeshSync "+name+" is ready at "+commit, func() (bool, string) {
		ms = e.Get(name)
		return conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, commit) &&
			strings.HasSuffix(ms.Status.LastAttemptedRevision, commit) && ms.Status.ObservedGeneration == ms.Generation, Describe(ms)
	})
	return ms
}

// NotReady waits until Ready is False with this reason.
func (e *Env) NotReady(name, reason string) *v1alpha1.MeshSync {
	e.T.Helper()
	var ms *v1alpha1.MeshSync
	e.Until("MeshSync "+name+" is not ready with reason "+reason, func() (bool, string) {
		ms = e.Get(name)
		return conditions.IsFalse(ms, meta.ReadyCondition) && conditions.GetReason(ms, meta.ReadyCondition) == reason, Describe(ms)
	})
	return ms
}

// Polled waits until the Git server was polled n more times, that is, for n intervals.
func (e *Env) Polled(n int64) {
	e.T.Helper()
	from := e.Git.Asked.Load()
	e.Until(fmt.Sprintf("Git is polled %d times", n), func() (bool, string) {
		return e.Git.Asked.Load() >= from+n, fmt.Sprint(e.Git.Asked.Load() - from)
	})
}

// Describe formats the status of a MeshSync for the message of a failed test.
func Describe(ms *v1alpha1.MeshSync) string {
	text, _ := yaml.Marshal(ms.Status)
	return "\n" + string(text)
}

// Must ends the test if err is not nil.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
