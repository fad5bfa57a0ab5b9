package execute

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/long"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// Every plan of these tests is compared with the one that is made of everything (see [controller.plan]); here nothing else is.
func TestIncrementalPlanEqualsFullPlan(t *testing.T) {
	c := newCluster(t)
	random := rand.New(rand.NewPCG(istiotest.Seed(t), 0))
	k := withdrawing(c)
	k.options.Timing.RoutingDelay = 10 * time.Minute
	repository := map[string][]*unstructured.Unstructured{}
	partial, steps := 0, long.Or(60, 120)
	for step := range steps {
		for range random.IntN(3) {
			commit(random, repository)
		}
		for range random.IntN(3) {
			c.meddle(random)
		}
		switch random.IntN(12) {
		case 0:
			k.options.Prune = !k.options.Prune
		case 1:
			k.options.Owner.Living = sets.New(ownership.ApplySetID(fmt.Sprint("other", random.IntN(2)), "isthmus-system", "MeshSync", "isthmus.dev"))
		case 2:
			k.options.AdditiveOnly = plantest.Unknown
		case 3, 4, 5:
			k.options.AdditiveOnly = nil
		case 6:
			k.planner = plans.NewPlanner(k.live) // a restart
		}
		k.later(time.Duration(random.IntN(20)) * time.Minute)
		bundle := istiotest.Bundle(slices.Concat(slices.Collect(maps.Values(repository))...)...)
		plan := k.plan(bundle)
		if k.partial {
			partial++
		}
		if plan.Guard == nil && random.IntN(4) > 0 {
			if _, err := k.apply(plan); err != nil {
				t.Logf("step %d: %v", step, err) // what somebody did meanwhile
			}
		}
	}
	if partial < steps/4 {
		t.Errorf("only %d plans were made of what changed", partial)
	}
}

// commit changes a service of a repository.
func commit(random *rand.Rand, repository map[string][]*unstructured.Unstructured) {
	name := fmt.Sprint("s", random.IntN(12))
	objects := istiotest.RandomService(random, name)
	if random.IntN(3) == 0 {
		objects = append(objects, offer(name, []string{"v1", "v2"}[:random.IntN(3)]...)...)
	}
	namespace := []string{"shop", "pay"}[random.IntN(2)]
	for _, object := range objects {
		object.SetNamespace(namespace)
	}
	if random.IntN(4) == 0 {
		objects = nil
	}
	repository[name] = objects
	// One that is for all workloads of a namespace, beside which those of a service close nothing.
	if random.IntN(4) == 0 {
		whole := istiotest.Object(istio.AuthorizationPolicyKind, namespace, "whole", "platform", map[string]any{
			"action": "ALLOW", "rules": []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"namespaces": []any{"a"}}}}}},
		})
		repository["platform"] = []*unstructured.Unstructured{whole}
	}
}

// meddle is what people do to a cluster.
func (c *testCluster) meddle(random *rand.Rand) {
	c.t.Helper()
	all := c.all()
	if len(all) == 0 {
		return
	}
	keys := slices.SortedFunc(maps.Keys(all), compareKeys)
	object := all[keys[random.IntN(len(keys))]]
	switch random.IntN(8) {
	case 0:
		c.remove(object)
	case 1:
		c.patch(object, `{"metadata":{"labels":{"`+ownership.LabelPartOf+`":null}}}`)
	case 2:
		c.patch(object, fmt.Sprintf(`{"metadata":{"labels":{"`+render.LabelService+`":"s%d"}}}`, random.IntN(12)))
	case 3:
		c.patch(object, `{"metadata":{"annotations":{"`+ownership.AnnotationReconcile+`":"disabled"}}}`)
	case 4:
		c.patch(object, `{"metadata":{"annotations":{"`+ownership.AnnotationReconcile+`":null,"note":"by hand"}}}`)
	case 5:
		c.patch(object, `{"metadata":{"labels":{"`+ownership.LabelPartOf+`":"`+ownership.ApplySetID("other0", "isthmus-system", "MeshSync", "isthmus.dev")+`"}}}`)
	case 6:
		if object.GetKind() == "ServiceEntry" {
			c.patch(object, fmt.Sprintf(`{"spec":{"endpoints":[{"address":"192.0.2.%d"}]}}`, 1+random.IntN(9)))
		}
	case 7:
		foreign := istiotest.ServiceEntry("shop", fmt.Sprint("s", random.IntN(12)), "192.0.2.99")
		if !c.exists(foreign) {
			c.make(foreign, "kubectl-create")
		}
	}
}

func compareKeys(a, b render.Key) int {
	if a.String() < b.String() {
		return -1
	}
	return 1
}
