package meshsync_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/controllers/meshsync"
	"github.com/isthmus-mesh/isthmus/internal/apply"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/test/apiserver"
)

const (
	// deadline is generous: it is how long a poll may take on a busy machine, not how long anything takes.
	deadline  = 60 * time.Second
	namespace = "isthmus-system"
)

// withIstio is a cluster that has Istio's CRDs, for all tests one after another.
var withIstio *apiserver.Cluster

func TestMain(m *testing.M) {
	sandbox.Main() // repositories are evaluated in a child process, which is this program
	os.Exit(func() int {
		ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr), zap.UseDevMode(os.Getenv("DEBUG") != "")))
		own, err := apiserver.OwnCRD()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fleet, err := apiserver.Start(context.Background(), apiserver.Options{CRDs: append(istio.CRDs(), own)})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() {
			if err := fleet.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		withIstio = fleet.Clusters()[0]
		return m.Run()
	}())
}

// world is one cluster, the repository that it follows, and a controller that has exactly the generated roles.
type world struct {
	t       *testing.T
	cluster *apiserver.Cluster
	admin   client.Client
	git     *repository
	// requests are those that the controller sent to the API server, leases and watches aside.
	requests *requests
	events   *recorder
	metrics  *meshsync.Metrics
	stop     func()
}

func newWorld(t *testing.T, cluster *apiserver.Cluster) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, v1alpha1.AddToScheme} {
		must(t, add(scheme))
	}
	admin, err := client.New(cluster.Config, client.Options{Scheme: scheme})
	must(t, err)
	// Istio's own namespace is there before Isthmus comes, like that of the controller.
	for _, name := range []string{namespace, "istio-system"} {
		err = admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if !apierrors.IsAlreadyExists(err) {
			must(t, err)
		}
	}
	w := &world{t: t, cluster: cluster, admin: admin, git: newRepository(t)}
	w.start()
	t.Cleanup(w.empty)
	return w
}

var users atomic.Int32

// user has the rights of config/rbac/role.yaml, no more and no less.
func (w *world) user() *rest.Config {
	w.t.Helper()
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	must(w.t, err)
	name := fmt.Sprintf("controller-%d", users.Add(1))
	var config *rest.Config
	for _, document := range strings.Split(string(text), "\n---\n") {
		var kind metav1.TypeMeta
		must(w.t, yaml.Unmarshal([]byte(document), &kind))
		switch kind.Kind {
		case "": // the comment that opens the file
		case "ClusterRole":
			role := &rbacv1.ClusterRole{}
			must(w.t, yaml.UnmarshalStrict([]byte(document), role))
			config, err = w.cluster.AddUser(w.t.Context(), name, role.Rules...)
			must(w.t, err)
		case "Role":
			role := &rbacv1.Role{}
			must(w.t, yaml.UnmarshalStrict([]byte(document), role))
			role.Name = name
			must(w.t, w.admin.Create(w.t.Context(), role))
			must(w.t, w.admin.Create(w.t.Context(), &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: role.Namespace},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
			}))
		default:
			w.t.Fatalf("role.yaml holds a %q", kind.Kind)
		}
	}
	return config
}

// start runs a controller as the command does, but for leader election, probes and servers.
func (w *world) start(options ...meshsync.Option) {
	w.t.Helper()
	w.startAs(w.user(), options...)
}

func (w *world) startAs(config *rest.Config, options ...meshsync.Option) {
	w.t.Helper()
	config = rest.CopyConfig(config)
	w.requests = &requests{}
	config.Wrap(w.requests.wrap)

	scheme := runtime.NewScheme()
	must(w.t, corev1.AddToScheme(scheme))
	must(w.t, v1alpha1.AddToScheme(scheme))
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	must(w.t, err)
	dynamicClient, err := dynamic.NewForConfig(config)
	must(w.t, err)
	alarm := meshsync.NewAlarm()
	live := apply.NewLive(dynamicClient, istio.Kinds, alarm.Ring)
	must(w.t, mgr.Add(live))
	w.events = &recorder{}
	w.metrics = meshsync.NewMetrics(time.Now)
	options = append([]meshsync.Option{
		meshsync.WithEvents(w.events), meshsync.WithMetrics(w.metrics), meshsync.WithFirstRetry(50 * time.Millisecond),
	}, options...)
	reconciler, err := meshsync.NewReconciler(mgr.GetClient(), mgr.GetAPIReader(), live, apply.NewApplier(dynamicClient, live), options...)
	must(w.t, err)
	again := true
	must(w.t, reconciler.SetupWithManager(mgr, alarm, controller.Options{MaxConcurrentReconciles: 2, SkipNameValidation: &again}))

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the manager ended with %v", err)
		}
	})
}

// empty leaves the cluster as a test wants to find it.
func (w *world) empty() {
	w.stop()
	ctx := context.Background()
	list := &v1alpha1.MeshSyncList{}
	must(w.t, w.admin.List(ctx, list))
	for i := range list.Items {
		ms := &list.Items[i]
		ms.Finalizers = nil
		must(w.t, client.IgnoreNotFound(w.admin.Update(ctx, ms)))
		must(w.t, client.IgnoreNotFound(w.admin.Delete(ctx, ms)))
	}
	for _, kind := range istio.Kinds {
		for _, object := range w.objects(kind.Kind) {
			must(w.t, client.IgnoreNotFound(w.admin.Delete(ctx, object)))
		}
	}
}

// objects are all of a kind, but for the one Service that an API server makes itself; none if the kind is not installed.
func (w *world) objects(kind string) []*unstructured.Unstructured {
	w.t.Helper()
	var out []*unstructured.Unstructured
	for _, k := range istio.Kinds {
		if k.Kind != kind {
			continue
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(k.GroupVersionKind)
		if err := w.admin.List(context.Background(), list); err != nil {
			return nil
		}
		for i := range list.Items {
			if list.Items[i].GetNamespace() == metav1.NamespaceDefault && list.Items[i].GetName() == "kubernetes" {
				continue
			}
			out = append(out, &list.Items[i])
		}
	}
	return out
}

func (w *world) all() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, kind := range istio.Kinds {
		out = append(out, w.objects(kind.Kind)...)
	}
	return out
}

// names are "Kind/namespace/name" of all managed objects.
func (w *world) names() map[string]*unstructured.Unstructured {
	out := map[string]*unstructured.Unstructured{}
	for _, object := range w.all() {
		out[object.GetKind()+"/"+object.GetNamespace()+"/"+object.GetName()] = object
	}
	return out
}

// create makes a MeshSync of cluster east that follows the repository.
func (w *world) create(name string, change ...func(*v1alpha1.MeshSync)) *v1alpha1.MeshSync {
	w.t.Helper()
	ms := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster:  "east",
			Source:   v1alpha1.Source{URL: w.git.url(), Ref: &v1alpha1.Ref{Branch: "main"}},
			Interval: metav1.Duration{Duration: 200 * time.Millisecond},
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

func (w *world) get(name string) *v1alpha1.MeshSync {
	w.t.Helper()
	ms := &v1alpha1.MeshSync{}
	must(w.t, w.admin.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, ms))
	return ms
}

// change patches a MeshSync.
func (w *world) change(name string, f func(*v1alpha1.MeshSync)) {
	w.t.Helper()
	ms := w.get(name)
	before := ms.DeepCopy()
	f(ms)
	must(w.t, w.admin.Patch(w.t.Context(), ms, client.MergeFrom(before)))
}

// until polls for a state and fails with what it last was.
func (w *world) until(what string, ok func() (bool, string)) {
	w.t.Helper()
	var last string
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var is bool
		if is, last = ok(); is {
			return
		}
	}
	w.t.Fatalf("waited %s in vain until %s; last: %s", deadline, what, last)
}

// ready waits for the MeshSync to be ready at this commit.
func (w *world) ready(name, commit string) *v1alpha1.MeshSync {
	w.t.Helper()
	var ms *v1alpha1.MeshSync
	w.until("MeshSync "+name+" is ready at "+commit, func() (bool, string) {
		ms = w.get(name)
		return conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, commit) &&
			ms.Status.ObservedGeneration == ms.Generation, describe(ms)
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

// polled waits until Git was asked n more times, which is how a test knows that so many intervals have passed.
func (w *world) polled(n int64) {
	w.t.Helper()
	from := w.git.asked.Load()
	w.until(fmt.Sprintf("Git is asked %d times", n), func() (bool, string) {
		return w.git.asked.Load() >= from+n, fmt.Sprint(w.git.asked.Load() - from)
	})
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

// requests counts what is sent to the API server.
type requests struct {
	mutex sync.Mutex
	seen  []string
}

func (r *requests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.URL.Query().Get("watch") != "true" {
			r.mutex.Lock()
			r.seen = append(r.seen, request.Method+" "+request.URL.Path)
			r.mutex.Unlock()
		}
		return next.RoundTrip(request)
	})
}

func (r *requests) list() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]string{}, r.seen...)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// recorder keeps events in the order in which they were made.
type recorder struct {
	mutex sync.Mutex
	seen  []string
}

var _ record.EventRecorder = &recorder{}

func (r *recorder) Event(object runtime.Object, eventtype, reason, message string) {
	r.Eventf(object, eventtype, reason, "%s", message)
}

func (r *recorder) Eventf(object runtime.Object, eventtype, reason, format string, args ...any) {
	r.AnnotatedEventf(object, nil, eventtype, reason, format, args...)
}

func (r *recorder) AnnotatedEventf(_ runtime.Object, _ map[string]string, eventtype, reason, format string, args ...any) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.seen = append(r.seen, eventtype+" "+reason+" "+fmt.Sprintf(format, args...))
}

// with are the events of a type and reason.
func (r *recorder) with(eventtype, reason string) []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var out []string
	for _, e := range r.seen {
		if strings.HasPrefix(e, eventtype+" "+reason+" ") {
			out = append(out, e)
		}
	}
	return out
}
