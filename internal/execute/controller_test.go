package execute

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// controller is one life of a controller: what it knows is gone when it restarts.
type testController struct {
	*testCluster
	live    *clustercache.Cache
	applier *Applier
	planner *plans.Planner
	options plans.Options
	woken   chan render.Key
	// requests counts what it sent, and watches those among them that are watches.
	requests, watches *atomic.Int64
	// partial is set if the last plan considered only a part of the cluster.
	partial bool
	// newFights are the fights that began with the last plan that was carried out.
	newFights []render.Key
}

func (c *testCluster) start() *testController { return c.startAs(c.config) }

func (c *testCluster) startAs(config *rest.Config) *testController {
	c.t.Helper()
	started := &testController{
		testCluster: c, requests: &atomic.Int64{}, watches: &atomic.Int64{}, woken: make(chan render.Key, 1000),
		options: plans.Options{Owner: c.owner, Prune: true, MaxPrunePercent: 20},
	}
	counted := rest.CopyConfig(config)
	counted.Wrap(countRequests(started.requests, started.watches))
	started.live = clustercache.New(c.connect(counted), istio.Kinds, func(key render.Key) {
		select {
		case started.woken <- key:
		default:
		}
	})
	started.planner = plans.NewPlanner(started.live)
	started.applier = NewApplier(c.connect(counted), started.live)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = started.live.Start(ctx)
	}()
	c.t.Cleanup(func() { stop(); <-done })
	return started
}

func (k *testController) look() clustercache.State {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), deadline)
	defer cancel()
	view, err := k.live.Snapshot(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	return view
}

// plan makes a plan of what changed since the last one, and fails the test unless it is the plan of everything.
func (k *testController) plan(bundle *render.Bundle) plans.Plan {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), deadline)
	defer cancel()
	var diff string
	k.planner.StartRun()
	// The two look one after the other, and watches go on meanwhile.
	for range 100 {
		memory := k.planner.Memory(k.options.Timing.Now)
		memory.Known = maps.Clone(memory.Known)
		view, err := k.planner.Observe(ctx, bundle, k.options)
		if err != nil {
			k.t.Fatal(err)
		}
		want := memory.Make(bundle, k.look(), k.options)
		k.partial = view.Partial()
		plan := k.planner.Make(bundle, view, k.options)
		if diff = cmp.Diff(told(want), told(plan)); diff == "" {
			return plan
		}
		time.Sleep(20 * time.Millisecond)
	}
	k.t.Fatalf("the plan of what changed is not the plan of everything: -everything, +what changed:\n%s", diff)
	return plans.Plan{}
}

// told is all that a plan says.
func told(plan plans.Plan) any {
	type line struct {
		Action                 plans.Action
		Live, Desired, Between map[string]any
	}
	var lines []line
	content := func(object *unstructured.Unstructured) map[string]any {
		if object == nil {
			return nil
		}
		return object.Object
	}
	for _, action := range plan.Actions {
		l := line{action, content(action.Live), content(action.Desired), content(action.Transitional)}
		l.Action.Live, l.Action.Desired, l.Action.Transitional = nil, nil, nil
		lines = append(lines, l)
	}
	brake, passed := plan.Guard, plan.Overridden
	plan.Actions, plan.Known, plan.Guard, plan.Overridden = nil, nil, nil, nil
	return []any{fmt.Sprintf("%+v", plan), brake, passed, strings.Split(fmt.Sprintf("%+v", lines), " {Action:")}
}

// planUntil waits until the watch has brought what the test did.
func (k *testController) planUntil(bundle *render.Bundle, what string, holds func(plans.Plan) bool) plans.Plan {
	k.t.Helper()
	var plan plans.Plan
	k.until(what, func() bool {
		plan = k.plan(bundle)
		return holds(plan)
	})
	return plan
}

// wake waits until somebody else's change wakes the controller, and returns what it is told.
func (k *testController) wake() render.Key {
	k.t.Helper()
	select {
	case key := <-k.woken:
		return key
	case <-time.After(deadline):
		k.t.Fatal("nothing wakes the controller")
		return render.Key{}
	}
}

func (k *testController) until(what string, holds func() bool) {
	k.t.Helper()
	for end := time.Now().Add(deadline); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Fatalf("not within %s: %s", deadline, what)
		}
	}
}

func (k *testController) apply(plan plans.Plan) (Result, error) {
	k.t.Helper()
	k.planner.Begin(plan)
	result, err := k.applier.Apply(k.t.Context(), plan)
	k.newFights = k.planner.Applied(result.Known, result.Corrected(), k.options.Timing.Now)
	return result, err
}

// sync makes a plan and carries it out, and fails the test if that fails.
func (k *testController) sync(bundle *render.Bundle) Result {
	k.t.Helper()
	result, err := k.apply(k.plan(bundle))
	if err != nil {
		k.t.Fatal(err)
	}
	return result
}
