package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// controller is the side of Isthmus. It plans and applies as the reconciler does.
type controller struct {
	client  dynamic.Interface
	live    *clustercache.Cache
	applier *execute.Applier
	planner *plans.Planner
	options plans.Options
}

func newController(config *rest.Config) (*controller, error) {
	connection, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	k := &controller{client: connection, live: clustercache.New(connection, istio.Kinds, nil)}
	k.applier = execute.NewApplier(connection, k.live)
	k.planner = plans.NewPlanner(k.live)
	k.options = plans.Options{
		Owner: ownership.Owner{ID: ownership.ApplySetID("bench", "isthmus-system", "MeshSync", "isthmus.dev")},
		Prune: true, MaxPrunePercent: 20, // the defaults of a MeshSync
	}
	return k, nil
}

// start watches until the returned function is called.
func (k *controller) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = k.live.Start(ctx) // it ends with ctx
	}()
	return func() { cancel(); <-done }
}

// steps are the durations of a sync.
type steps struct{ look, plan, apply time.Duration }

func (s steps) total() time.Duration { return s.look + s.plan + s.apply }

// sync makes the cluster equal to the bundle, as each reconciliation does.
func (k *controller) sync(ctx context.Context, bundle *render.Bundle) (execute.Result, steps, error) {
	began := time.Now()
	view, err := k.planner.Observe(ctx, bundle, k.options)
	if err != nil {
		return execute.Result{}, steps{}, err
	}
	looked := time.Now()
	plan := k.planner.Make(bundle, view, k.options)
	planned := time.Now()
	result, err := k.applier.Apply(ctx, plan)
	ended := time.Now()
	k.planner.Applied(result.Known, result.Corrected(), k.options.Timing.Now)
	return result, steps{look: looked.Sub(began), plan: planned.Sub(looked), apply: ended.Sub(planned)}, err
}

// expect syncs and checks the numbers of written objects.
func (k *controller) expect(ctx context.Context, bundle *render.Bundle, created, updated int) (steps, error) {
	result, took, err := k.sync(ctx, bundle)
	if err == nil && (result.Created != created || result.Updated != updated || result.Wrote() != created+updated) {
		err = fmt.Errorf("created %d, updated %d, wrote %d; want %d created and %d updated", result.Created, result.Updated, result.Wrote(), created, updated)
	}
	return took, err
}

// peer is the side of Flux's kustomize-controller. Neither client is throttled. The peer reads each
// object from the API server, because kustomize-controller does not cache them.
type peer struct {
	manager *ssa.ResourceManager
	objects []*unstructured.Unstructured
}

func newPeer(config *rest.Config, concurrency int, bundle *render.Bundle) (*peer, error) {
	connection, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	p := &peer{
		manager: ssa.NewResourceManager(connection, nil, ssa.Owner{Field: "bench-controller", Group: "bench.isthmus.dev"}),
		objects: objects(bundle),
	}
	p.manager.SetConcurrency(concurrency)
	p.manager.SetOwnerLabels(p.objects, "bench", "isthmus-system")
	// A running controller has already discovered the kinds.
	for _, object := range p.objects {
		gvk := object.GroupVersionKind()
		if _, err := connection.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// expect applies and checks that the action is the same for all objects.
func (p *peer) expect(ctx context.Context, action ssa.Action) error {
	changes, err := p.manager.ApplyAll(ctx, p.objects, ssa.DefaultApplyOptions())
	if err != nil {
		return err
	}
	if len(changes.Entries) != len(p.objects) {
		return fmt.Errorf("ApplyAll returned %d entries for %d objects", len(changes.Entries), len(p.objects))
	}
	var errs []error
	for _, entry := range changes.Entries {
		if entry.Action != action {
			errs = append(errs, fmt.Errorf("%s is %s, not %s", entry.Subject, entry.Action, action))
		}
	}
	return errors.Join(errs...)
}
