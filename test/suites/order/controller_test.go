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

// deadline bounds every wait for an API server; the machine may be busy.
const deadline = 60 * time.Second

// controller is what a controller has of package apply, in one cluster.
type controller struct {
	t       *testing.T
	name    string
	world   *world
	config  *rest.Config
	admin   dynamic.Interface
	rule    rule
	live    *clustercache.Cache
	applier *execute.Applier
	stop    func()

	// planner is in memory, and gone with a restart.
	planner *plans.Planner
	// applied is the revision that was applied last as a whole, which stands in the status of a MeshSync.
	applied string
	// last is the bundle of the last sync.
	last *render.Bundle
	// crash, if it is more than 0, ends this life after so many more writes; crashed tells that it did.
	crash   int
	crashed bool
	// did counts what its plans did.
	did tally
}

// tally counts what plans did, so that a history in which nothing happens is noticed.
type tally struct{ syncs, waits, withdrawals, restarts, crashes, holds int }

func (t *tally) add(o tally) {
	t.syncs, t.waits, t.withdrawals = t.syncs+o.syncs, t.waits+o.waits, t.withdrawals+o.withdrawals
	t.restarts, t.crashes, t.holds = t.restarts+o.restarts, t.crashes+o.crashes, t.holds+o.holds
}

// newController is one in an empty cluster.
func newController(t *testing.T, w *world, server *apiserver.Cluster, by rule) *controller {
	t.Helper()
	k := &controller{t: t, name: server.Name, world: w, rule: by, config: rest.CopyConfig(server.Config)}
	var err error
	if k.admin, err = dynamic.NewForConfig(server.Config); err != nil {
		t.Fatal(err)
	}
	k.clear()
	k.config.Wrap(w.noting(k.name))
	k.config.Wrap(k.crashing)
	t.Cleanup(func() { k.stop() })
	k.start()
	return k
}

// start begins a life of the controller.
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
	k.did.restarts++
	k.start()
}

// crashing is a connection over which nothing is written any more once the controller has crashed.
func (k *controller) crashing(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method != http.MethodGet && k.dies() {
			return nil, errors.New("the controller has crashed")
		}
		return next.RoundTrip(request)
	})
}

// dies tells whether the next write is one too many.
func (k *controller) dies() bool {
	k.world.mu.Lock()
	defer k.world.mu.Unlock()
	if k.crash > 0 {
		k.crash--
		k.crashed = k.crash == 0
	}
	return k.crashed
}

// sync makes a plan for a revision and carries it out, and tells when the next one is due, zero if no time is set.
func (k *controller) sync(to revision) (due time.Time) {
	k.t.Helper()
	k.did.syncs++
	before := k.world.writes
	bundle := to.bundles[k.name]
	k.world.clusters[k.name].during = to.called[k.name]
	plan := k.plan(bundle)
	k.did.waits += len(plan.Deferrals())
	k.did.withdrawals += len(plan.Withdrawals())
	if plan.Writes() || k.last == nil || bundle.Revision != k.last.Revision {
		k.world.tell("%s syncs revision %s: %d wait, %d stay, next %s", k.name, short(bundle.Revision), len(plan.Deferrals()), len(plan.Withdrawals()), plan.Due().Format(clock))
	}
	k.planner.Begin(plan)
	result, err := k.applier.Apply(k.t.Context(), plan)
	if k.world.writes > before {
		k.compare()
	}
	if k.crashed {
		k.world.tell("%s has crashed", k.name)
		k.did.crashes++
		k.restart()
		return time.Time{}
	}
	if err != nil {
		k.t.Fatalf("%s: %v\n%s", k.name, err, k.world.end())
	}
	k.planner.Applied(result.Known, result.Corrected(), k.world.now)
	if len(plan.Deferrals()) == 0 {
		k.applied = bundle.Revision
	}
	k.last = bundle
	k.world.clusters[k.name].before = to.called[k.name]
	return plan.Due()
}

func (k *controller) plan(bundle *render.Bundle) plans.Plan {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), deadline)
	defer cancel()
	options := plans.Options{
		Owner: ownership.Owner{ID: ownership.ApplySetID("mesh", "isthmus-system", "MeshSync", "isthmus.dev")},
		Prune: true, MaxPrunePercent: 100,
		Timing: plans.Timing{Now: k.world.now, WithdrawAfter: k.rule.withdrawAfter, RoutingDelay: k.rule.routingDelay},
	}
	if k.applied == "" || k.applied == bundle.Revision {
		// As the reconciler does it: in a first sync, and of what was applied before, nothing waits.
		options.Timing.RoutingDelay = 0
	}
	k.planner.StartRun()
	view, err := k.planner.Observe(ctx, bundle, options)
	if err != nil {
		k.t.Fatal(err)
	}
	plan := k.planner.Make(bundle, view, options)
	if plan.Guard != nil {
		// A person agrees.
		options.AcknowledgedDigests = []string{plan.Guard.Digest}
		plan = k.planner.Make(bundle, view, options)
	}
	return plan
}

func short(revision string) string { return revision[len(revision)-3:] }

// compare holds what the world knows of the cluster against what the API server has.
func (k *controller) compare() {
	k.t.Helper()
	noted, there := k.world.clusters[k.name].objects, k.all()
	for key, object := range there {
		if known := noted[key]; known == nil || known.GetResourceVersion() != object.GetResourceVersion() {
			k.t.Fatalf("%s has %s, and nobody noted that it was written so", k.name, key)
		}
	}
	for key := range noted {
		if there[key] == nil {
			k.t.Fatalf("%s has no %s, and nobody noted that it was deleted", k.name, key)
		}
	}
}

// all reads every object of the managed kinds, but for the one Service that an API server makes itself.
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

// clear removes what an earlier run left, and has the namespace of the gateways.
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
