package execute

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/long"
)

// state is one that the API server was in.
type state map[render.Key]*unstructured.Unstructured

// recorder writes down every state of the kinds that make a name work, in the order in which the API server had them: a resourceVersion is the
// revision of all its data.
type recorder struct {
	mu     sync.Mutex
	events []recordedEvent
}

type recordedEvent struct {
	version uint64
	gone    bool
	object  *unstructured.Unstructured
}

func (c *testCluster) record() *recorder {
	c.t.Helper()
	r := &recorder{}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, kind := range istio.Kinds {
		if !plans.IsRouting(kind.Kind) && kind.Kind != istio.AuthorizationPolicyKind {
			continue
		}
		events, err := c.admin.Resource(kind.GroupVersion().WithResource(kind.Resource)).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		group.Go(func() {
			for event := range events.ResultChan() {
				object, ok := event.Object.(*unstructured.Unstructured)
				if !ok {
					continue
				}
				version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
				r.mu.Lock()
				r.events = append(r.events, recordedEvent{version, event.Type == "DELETED", object})
				r.mu.Unlock()
			}
		})
	}
	c.t.Cleanup(func() { stop(); group.Wait() })
	return r
}

// take waits until all of a state was seen, and returns the states on the way to it from another one.
func (r *recorder) take(k *testController, from state, to *render.Bundle) []state {
	k.t.Helper()
	var states []state
	k.until("the watch shows what was applied", func() bool {
		r.mu.Lock()
		events := slices.Clone(r.events)
		r.mu.Unlock()
		slices.SortStableFunc(events, func(a, b recordedEvent) int { return int(int64(a.version) - int64(b.version)) })
		now := maps.Clone(from)
		states = []state{maps.Clone(now)}
		for _, event := range events {
			if now[render.KeyOf(event.object)] = event.object; event.gone {
				delete(now, render.KeyOf(event.object))
			}
			states = append(states, maps.Clone(now))
		}
		return len(now) == len(to.Resources) && !slices.ContainsFunc(to.Resources, func(resource render.Resource) bool {
			live := now[resource.Key]
			return live == nil || len(merge.Differences(resource.Object(), live, k.owner.ID)) > 0
		})
	})
	r.mu.Lock()
	r.events = nil
	r.mu.Unlock()
	return states
}

// broken is what a caller would notice of a state on the way from one bundle to another.
func broken(now, from, to state) []string {
	var out []string
	had, wanted, there := endpointsIn(from), endpointsIn(to), endpointsIn(now)
	for host, endpoints := range had {
		if wanted[host] != nil && there[host] == nil {
			out = append(out, "no ServiceEntry for "+host)
			continue
		}
		for endpoint := range endpoints {
			if wanted[host][endpoint] && !there[host][endpoint] {
				out = append(out, fmt.Sprintf("no endpoint %s of %s", endpoint, host))
			}
		}
	}
	for key, object := range now {
		if key.Kind != "VirtualService" {
			continue
		}
		routes, _, _ := unstructured.NestedSlice(object.Object, "spec", "http")
		to, _, _ := unstructured.NestedString(nested.Map(nested.List(nested.Map(routes[0]), "route")[0]), "destination", "subset")
		rule := now[render.Key{Kind: "DestinationRule", Namespace: key.Namespace, Name: key.Name}]
		if to != "" && (rule == nil || !slices.ContainsFunc(nested.List(nested.Map(rule.Object, "spec"), "subsets"), func(s any) bool { return nested.Map(s)["name"] == to })) {
			out = append(out, fmt.Sprintf("%s leads to subset %s, which nobody defines", key, to))
		}
	}
	for _, service := range []string{"a", "b", "c"} {
		was, will, is := admitted(from, service), admitted(to, service), admitted(now, service)
		for caller, had := range was {
			if had && will[caller] && !is[caller] {
				out = append(out, fmt.Sprintf("%s of %s is shut out", caller, service))
			}
		}
	}
	return out
}

// endpointsIn are the addresses of the endpoints of every host that has a ServiceEntry, of all its entries together.
func endpointsIn(s state) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, object := range s {
		if object.GetKind() != "ServiceEntry" {
			continue
		}
		for _, host := range plans.HostsOf(object) {
			if out[host] == nil {
				out[host] = map[string]bool{}
			}
			for _, endpoint := range nested.List(nested.Map(object.Object, "spec"), "endpoints") {
				out[host][fmt.Sprint(nested.Map(endpoint)["address"])] = true
			}
		}
	}
	return out
}

// admitted are the callers that the policies of a service let in; without any policy everybody.
func admitted(s state, service string) map[string]bool {
	out, any := map[string]bool{}, true
	for _, object := range s {
		if object.GetKind() != istio.AuthorizationPolicyKind || object.GetLabels()[render.LabelService] != service {
			continue
		}
		any = false
		for _, rule := range nested.List(nested.Map(object.Object, "spec"), "rules") {
			for _, from := range nested.List(nested.Map(rule), "from") {
				for _, principal := range nested.List(nested.Map(from, "source"), "principals") {
					out[fmt.Sprint(principal)] = true
				}
			}
		}
	}
	for i := range 3 {
		caller := fmt.Sprintf("cluster.local/ns/a/sa/caller-%d", i)
		out[caller] = out[caller] || any
	}
	return out
}

// careless makes a plan what it would be without looking at effects: each object is written once, kind by kind.
func withoutOrder(plan plans.Plan) plans.Plan {
	for i := range plan.Actions {
		if plan.Actions[i].Verb != plans.Delete {
			plan.Actions[i].Effect, plan.Actions[i].Transitional = plans.Adds, nil
		}
	}
	plan.Actions = plans.Sorted(plan.Actions)
	return plan
}

// history tells what each state changed.
func history(states []state) string {
	var out string
	for key, object := range states[0] {
		out += fmt.Sprintf("at first %s: %s\n", key, nested.JSON(object.Object["spec"]))
	}
	for i, now := range states[1:] {
		for key, object := range now {
			if was := states[i][key]; was == nil || was.GetResourceVersion() != object.GetResourceVersion() {
				out += fmt.Sprintf("%s: %s\n", key, nested.JSON(object.Object["spec"]))
			}
		}
		for key := range states[i] {
			if now[key] == nil {
				out += fmt.Sprintf("%s: deleted\n", key)
			}
		}
	}
	return out
}

func TestReplacingUpdateNeverInterruptsCallers(t *testing.T) {
	updates := long.Or(150, 500)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for name, make := range map[string]func(plans.Plan) plans.Plan{"ByEffect": func(p plans.Plan) plans.Plan { return p }, "Careless": withoutOrder} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			c := newCluster(t)
			k := c.start()
			k.options.MaxPrunePercent = 100
			recorder := c.record()
			from, found, changed := state{}, 0, 0
			for i := range updates {
				var objects []*unstructured.Unstructured
				for _, service := range []string{"a", "b", "c"} {
					objects = append(objects, istiotest.RandomService(random, service)...)
				}
				bundle := istiotest.Bundle(objects...)
				if _, err := k.apply(make(k.plan(bundle))); err != nil {
					t.Fatal(err)
				}
				states := recorder.take(k, from, bundle)
				if len(states) > 1 {
					changed++
				}
				to := states[len(states)-1]
				for _, now := range states {
					for _, problem := range broken(now, from, to) {
						found++
						if name == "ByEffect" {
							t.Fatalf("update %d: %s\n%s", i, problem, history(states))
						}
					}
				}
				from = to
				if name == "Careless" && found > 0 {
					return
				}
			}
			if changed < updates {
				t.Errorf("%d of %d updates changed something", changed, updates)
			}
			if name == "Careless" {
				t.Errorf("%d updates without looking at effects harmed nobody: this test sees nothing", updates)
			}
		})
	}
}

func TestSettleTimeOnlyBetweenAdditionsAndRemovals(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	var waited []time.Duration
	var then []map[render.Key]*unstructured.Unstructured
	k.applier.WithSettleTime(time.Minute, func(_ context.Context, pause time.Duration) {
		waited, then = append(waited, pause), append(then, c.all())
	})
	k.sync(istiotest.Bundle(istiotest.ServiceEntry("shop", "a", "192.0.2.1")))
	if len(waited) > 0 {
		t.Errorf("a plan that only widens waited")
	}
	k.sync(istiotest.Bundle(istiotest.ServiceEntry("shop", "a", "192.0.2.2")))
	if len(waited) != 1 || waited[0] != time.Minute {
		t.Fatalf("waited %v", waited)
	}
	between := then[0][render.Key{Kind: "ServiceEntry", Namespace: "shop", Name: "a"}]
	if n := len(nested.List(nested.Map(between.Object, "spec"), "endpoints")); n != 2 {
		t.Errorf("while it waits there are both endpoints, got %d", n)
	}
	k.sync(istiotest.Bundle(istiotest.ServiceEntry("shop", "a", "192.0.2.2"), istiotest.ServiceEntry("shop", "b", "192.0.2.1", "192.0.2.2")))
	k.sync(istiotest.Bundle(istiotest.ServiceEntry("shop", "a", "192.0.2.2"), istiotest.ServiceEntry("shop", "b", "192.0.2.1")))
	if len(waited) != 1 {
		t.Errorf("plans that only widen, or only narrow, waited: %v", waited)
	}
}
