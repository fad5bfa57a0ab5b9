package meshsync_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
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

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/controllers/meshsync"
	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const namespace = gitops.Namespace

var quickstart = os.DirFS("../../examples/quickstart")

// withIstio is a cluster that has Istio's CRDs, for all tests one after another.
var withIstio *apiserver.Cluster

func TestMain(m *testing.M) {
	sandbox.Main() // repositories are evaluated in a child process, which is this program
	os.Exit(func() int {
		ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr), zap.UseDevMode(os.Getenv("DEBUG") != "")))
		fleet, err := gitops.Start(context.Background(), apiserver.Options{Clusters: []string{"east"}})
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

// world is cluster east of the repository, and a controller that has exactly the generated roles.
type world struct {
	*gitops.Env
	// requests are the requests of the controller to the API server, except leases and watches.
	requests *requests
	events   *recorder
	metrics  *meshsync.Metrics
	stop     func()
}

func newWorld(t *testing.T, cluster *apiserver.Cluster) *world {
	t.Helper()
	w := &world{Env: gitops.NewEnv(t, cluster, gitops.NewRepository(t, quickstart))}
	must(t, gitops.Namespaces(t.Context(), w.Admin))
	w.start()
	t.Cleanup(w.empty)
	return w
}

var users atomic.Int32

// user has exactly the permissions of an installation.
func (w *world) user() *rest.Config {
	w.T.Helper()
	user, err := w.Cluster.AddController(w.T.Context(), fmt.Sprintf("controller-%d", users.Add(1)))
	must(w.T, err)
	return user
}

// start runs a controller as the command does, without leader election, probes and servers.
func (w *world) start(options ...meshsync.Option) {
	w.T.Helper()
	w.startAs(w.user(), options...)
}

func (w *world) startAs(config *rest.Config, options ...meshsync.Option) {
	w.T.Helper()
	config = rest.CopyConfig(config)
	w.requests = &requests{}
	config.Wrap(w.requests.wrap)

	scheme := runtime.NewScheme()
	must(w.T, corev1.AddToScheme(scheme))
	must(w.T, v1alpha1.AddToScheme(scheme))
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	must(w.T, err)
	dynamicClient, err := dynamic.NewForConfig(config)
	must(w.T, err)
	alarm := meshsync.NewAlarm()
	live := clustercache.New(dynamicClient, istio.Kinds, alarm.Ring)
	must(w.T, mgr.Add(live))
	w.events = &recorder{}
	w.metrics = meshsync.NewMetrics(time.Now)
	options = append([]meshsync.Option{
		meshsync.WithEvents(w.events), meshsync.WithMetrics(w.metrics), meshsync.WithFirstRetry(50 * time.Millisecond),
	}, options...)
	writer, err := execute.NewClient(config)
	must(w.T, err)
	reconciler, err := meshsync.NewReconciler(mgr.GetClient(), mgr.GetAPIReader(), live, execute.NewApplier(writer, live), options...)
	must(w.T, err)
	again := true
	must(w.T, reconciler.SetupWithManager(mgr, alarm, controller.Options{MaxConcurrentReconciles: 2, SkipNameValidation: &again}))

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.T.Errorf("the manager ended with %v", err)
		}
	})
}

// empty removes the objects of earlier tests.
func (w *world) empty() {
	w.stop()
	w.Empty()
}

// objects returns all objects of a kind, none if the kind is not installed.
func (w *world) objects(kind string) []*unstructured.Unstructured {
	w.T.Helper()
	return slices.DeleteFunc(w.all(), func(object *unstructured.Unstructured) bool { return object.GetKind() != kind })
}

// all returns the objects of all managed kinds.
func (w *world) all() []*unstructured.Unstructured {
	w.T.Helper()
	objects := w.Objects()
	var out []*unstructured.Unstructured
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		out = append(out, objects[key])
	}
	return out
}

// service is a manifest of a service in both clusters that calls others.
func service(name string, egress ...string) string {
	return gitops.Service{Name: name, In: []string{"east", "west"}, Egress: egress}.String()
}

var (
	describe = gitops.Describe
	must     = gitops.Must
)

// requests records the requests to the API server.
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

// recorder keeps events in order of creation.
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

// with returns the events of a type and reason.
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
