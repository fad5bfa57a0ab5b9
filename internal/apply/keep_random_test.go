package apply

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Whole bundles, of which services vanish or change, come and go: nothing is taken away as long as there is something to keep, nothing is
// written twice, and after that the cluster is as the bundle says.
func TestPlansThatKeepSettleAndEnd(t *testing.T) {
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	pool := specimens(t, validator)
	seed := rand.Uint64()
	random := mutator{rand.New(rand.NewPCG(seed, 0))}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: "+format, append([]any{seed}, args...)...)
	}
	// drawn are a few objects, some of them changed.
	drawn := func() *render.Bundle {
		objects := map[render.Key]*unstructured.Unstructured{}
		for range 30 {
			kind := slices.Sorted(maps.Keys(pool))[random.IntN(len(pool))]
			one := pool[kind][random.IntN(len(pool[kind]))].DeepCopy()
			if random.IntN(2) == 0 {
				random.change(fieldsOf(one.Object, "spec"), fieldsOf(pool[kind][random.IntN(len(pool[kind]))].Object, "spec"))
			}
			if valid(validator, one) {
				objects[keyOf(one)] = one
			}
		}
		return bundleOf(slices.Collect(maps.Values(objects))...)
	}

	for range 20 {
		view, known := View{}, Record(nil)
		for round := range 6 {
			bundle := drawn()
			options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 100, Known: known, Keep: lost}
			if round%3 == 0 {
				options.Keep = ""
			}
			plan := Make(bundle, view, options)
			if plan.Brake != nil && plan.Brake.Kind != LastEndpoint || plan.Drifted() > 0 {
				fail("brake %v, %d drifted", plan.Brake, plan.Drifted())
			}
			before := view
			view, options.Known = carried(t, view, plan)
			if again := Make(bundle, view, options); again.Writes() {
				fail("the second plan writes: %v, %v", verbs(again), again.Actions[0].Fields)
			}
			if options.Keep == "" {
				for _, resource := range bundle.Resources {
					at := slices.IndexFunc(view.Objects, func(one *unstructured.Unstructured) bool { return keyOf(one) == resource.Key })
					if fields := differences(resource.Object(), view.Objects[at], testOwner.ID); len(fields) > 0 {
						fail("%s differs in %v", resource.Key, fields)
					}
				}
				if len(view.Objects) != len(bundle.Resources) {
					fail("%d objects for %d resources", len(view.Objects), len(bundle.Resources))
				}
				known = options.Known
				continue
			}
			for _, had := range before.Objects {
				at := slices.IndexFunc(view.Objects, func(one *unstructured.Unstructured) bool { return keyOf(one) == keyOf(had) })
				if at < 0 {
					fail("%s is gone", keyOf(had))
				}
				if gone := oracles[had.GetKind()](had, view.Objects[at], random); len(gone) > 0 {
					fail("%s lost %s", keyOf(had), strings.Join(gone, ", "))
				}
			}
			known = options.Known
		}
	}
}
