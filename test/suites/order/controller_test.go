package order_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// deadline limits every wait for an API server. It is long enough for a busy machine.
const deadline = 60 * time.Second

// controller plans and applies in one cluster, as the reconciler does.
type controller struct {
	t       *testing.T
	name    string
	monitor *monitor
	config  *rest.Config
	admin   dynamic.Interface
	delays  delays
	live    *clustercache.Cache
	applier *execute.Applier
	stop    func()

	// planner is lost in a restart.
	planner *plans.Planner
	// applied is the last completely applied revision, status.lastAppliedRevision of a MeshSync.
	applied string
	// last is the bundle of the last sync.
	last *render.Bundle
	// crashAfter is the number of writes until the controller crashes, 0 for never.
	crashAfter int
	crashed    bool
	counts     counts
}

// counts shows whether a history exercises deferrals, withdrawals, restarts and pauses.
type counts struct{ syncs, deferrals, withdrawals, restarts, crashes, pauses int }

func (c *counts) add(o counts) {
	c.syncs, c.deferrals, c.withdrawals = c.syncs+o.syncs, c.deferrals+o.deferrals, c.withdrawals+o.withdrawals
	c.restarts, c.crashes, c.pauses = c.restarts+o.restarts, c.crashes+o.crashes, c.pauses+o.pauses
}

// newController starts a controller in an emptied cluster.
func newController(t *testing.T, m *monitor, server *apiserver.Cluster, by delays) *controller {
	t.Helper()
	k := &controller{t: t, name: server.Name, monitor: m, delays: by, config: rest.CopyConfig(server.Config)}
	var err error
	if k.admin, err = dynamic.NewForConfig(server.Config); err != nil {
		t.Fatal(err)
	}
	k.clear()
	k.config.Wrap(m.recording(k.name))
	k.config.Wrap(k.failingAfterCrash)
	t.Cleanup(func() { k.stop() })
	k.start()
	return k
}

// start starts the controller without memory.
func (k *controller) start() {
	k.t.Helper()
	client, err := dynamic.NewForConfig(k.config)
	if err != nil {
		k.t.Fatal(err)
	}
	k.live = clustercache.New(client, istio.Kinds, nil)
	k.applier = execute.NewApplier(client, k.live)
	k.planner = plans.NewPlanner(k.live)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = k.live.Start(ctx) // it ends with ctx
	}()
	k.stop = func() { cancel(); <-done }
}

func (k *controller) restart() {
	k.t.Helper()
	k.stop()
	k.counts.restarts++
	k.start()
}

// failingAfterCrash wraps a connection. All writes fail after the crash.
func (k *controller) failingAfterCrash(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method != http.MethodGet && k.crashesNow() {
			return nil, errors.New("the controller has crashed")
		}
		return next.RoundTrip(request)
	})
}

// crashesNow reports whether the controller has crashed or crashes with this write.
func (k *controller) crashesNow() bool {
	k.monitor.mu.Lock()
	defer k.monitor.mu.Unlock()
	if k.crashAfter > 0 {
		k.crashAfter--
		k.crashed = k.crashAfter == 0
	}
	return k.crashed
}

// sync plans and applies a revision. It returns the time when the next deferral or withdrawal is
// due, zero if there is none.
func (k *controller) sync(to revision) (due time.Time) {
	k.t.Helper()
	k.counts.syncs++
	before := k.monitor.writes
	bundle := to.bundles[k.name]
	k.monitor.clusters[k.name].during = to.calledHosts[k.name]
	plan := k.plan(bundle)
	k.counts.deferrals += len(plan.Deferrals())
	k.counts.withdrawals += len(plan.Withdrawals())
	if plan.Writes() || k.last == nil || bundle.Revision != k.last.Revision {
		k.monitor.logf("%s syncs revision %s: %d deferrals, %d withdrawals, due %s", k.name, short(bundle.Revision), len(plan.Deferrals()), len(plan.Withdrawals()), plan.Due().Format(clockLayout))
	}
	k.planner.Begin(plan)
	result, err := k.applier.Apply(k.t.Context(), plan)
	if k.monitor.writes > before {
		k.compare()
	}
	if k.crashed {
		k.monitor.logf("%s has crashed", k.name)
		k.counts.crashes++
		k.restart()
		return time.Time{}
	}
	if err != nil {
		k.t.Fatalf("%s: %v\n%s", k.name, err, k.monitor.logTail())
	}
	k.planner.Applied(result.Known, result.Corrected(), k.monitor.now)
	if len(plan.Deferrals()) == 0 {
		k.applied = bundle.Revision
	}
	k.last = bundle
	k.monitor.clusters[k.name].before = to.calledHosts[k.name]
	return plan.Due()
}

func (k *controller) plan(bundle *render.Bundle) plans.Plan {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), deadline)
	defer cancel()
	options := plans.Options{
		Owner: ownership.Owner{ID: ownership.ApplySetID("mesh", "isthmus-system", "MeshSync", "isthmus.dev")},
		Prune: true, MaxPrunePercent: 100,
		Timing: plans.Timing{Now: k.monitor.now, WithdrawAfter: k.delays.withdrawAfter, RoutingDelay: k.delays.routingDelay},
	}
	if k.applied == "" || k.applied == bundle.Revision {
		// As in the reconciler, a first sync and drift are not deferred.
		options.Timing.RoutingDelay = 0
	}
	k.planner.StartRun()
	view, err := k.planner.Observe(ctx, bundle, options)
	if err != nil {
		k.t.Fatal(err)
	}
	plan := k.planner.Make(bundle, view, options)
	if plan.Guard != nil {
		// A user acknowledges.
		options.AcknowledgedDigests = []string{plan.Guard.Digest}
		plan = k.planner.Make(bundle, view, options)
	}
	return plan
}

func short(revision string) string { return revision[len(revision)-3:] }

// compare compares the recorded objects with the API server.
func (k *controller) compare() {
	k.t.Helper()
	recorded, live := k.monitor.clusters[k.name].objects, k.all()
	for key, object := range live {
		if last := recorded[key]; last == nil || last.GetResourceVersion() != object.GetResourceVersion() {
			k.t.Fatalf("the last write of %s in %s was not recorded", key, k.name)
		}
	}
	for key := range recorded {
		if live[key] == nil {
			k.t.Fatalf("the deletion of %s in %s was not recorded", key, k.name)
		}
	}
}

// all reads all objects of the managed kinds, without the Service that the API server creates
// itself.
func (k *controller) all() map[render.Key]*unstructured.Unstructured {
	k.t.Helper()
	out := map[render.Key]*unstructured.Unstructured{}
	for _, kind := range istio.Kinds {
		list, err := k.admin.Resource(kind.GroupVersion().WithResource(kind.Resource)).List(k.t.Context(), metav1.ListOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
		for _, object := range list.Items {
			out[keyOf(&object)] = &object
		}
	}
	delete(out, render.Key{Kind: "Service", Namespace: "default", Name: "kubernetes"})
	return out
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// clear deletes the objects of an earlier run and creates the namespace of the gateways.
func (k *controller) clear() {
	k.t.Helper()
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": gatewayNamespace}}}
	if _, err := k.admin.Resource(namespaces).Create(k.t.Context(), namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		k.t.Fatal(err)
	}
	left := k.all()
	for _, key := range slices.SortedFunc(maps.Keys(left), byKey) {
		at := slices.IndexFunc(istio.Kinds, func(kind istio.Kind) bool { return kind.Kind == key.Kind })
		kind := istio.Kinds[at]
		err := k.admin.Resource(kind.GroupVersion().WithResource(kind.Resource)).Namespace(key.Namespace).Delete(k.t.Context(), key.Name, metav1.DeleteOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
	}
}
