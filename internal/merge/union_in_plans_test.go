package merge_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// Bundles of random objects follow each other. An additive plan takes nothing away, a second plan
// writes nothing, and a full plan makes the cluster equal to the bundle.
func TestAdditivePlansLoseNothingAndConverge(t *testing.T) {
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	pool := istiotest.Samples(t, validator)
	seed := rand.Uint64()
	random := merge.Mutator{rand.New(rand.NewPCG(seed, 0))}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: "+format, append([]any{seed}, args...)...)
	}
	// drawn returns a bundle of some objects, half of them with a random change.
	drawn := func() *render.Bundle {
		objects := map[render.Key]*unstructured.Unstructured{}
		for range 30 {
			kind := slices.Sorted(maps.Keys(pool))[random.IntN(len(pool))]
			one := pool[kind][random.IntN(len(pool[kind]))].DeepCopy()
			if random.IntN(2) == 0 {
				random.Change(nested.Map(one.Object, "spec"), nested.Map(pool[kind][random.IntN(len(pool[kind]))].Object, "spec"))
			}
			if merge.Valid(validator, one) {
				objects[render.KeyOf(one)] = one
			}
		}
		return istiotest.Bundle(slices.Collect(maps.Values(objects))...)
	}

	for range 20 {
		view, memory := clustercache.State{}, plans.Memory{}
		for round := range 6 {
			bundle := drawn()
			options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 100, AdditiveOnly: plantest.Unknown}
			if round%3 == 0 {
				options.AdditiveOnly = nil
			}
			plan := memory.Make(bundle, view, options)
			if plan.Guard != nil && plan.Guard.Kind != plans.LastEndpoint || plan.Drifted() > 0 {
				fail("guard %v, %d drifted", plan.Guard, plan.Drifted())
			}
			before := view
			view, memory.Known = plantest.AfterApply(t, view, plan)
			if again := memory.Make(bundle, view, options); again.Writes() {
				fail("the second plan writes: %v, %v", plantest.Verbs(again), again.Actions[0].Fields)
			}
			if options.AdditiveOnly == nil {
				for _, resource := range bundle.Resources {
					at := slices.IndexFunc(view.Objects, func(one *unstructured.Unstructured) bool { return render.KeyOf(one) == resource.Key })
					if fields := merge.Differences(resource.Object(), view.Objects[at], plantest.Owner.ID); len(fields) > 0 {
						fail("%s differs in %v", resource.Key, fields)
					}
				}
				if len(view.Objects) != len(bundle.Resources) {
					fail("%d objects for %d resources", len(view.Objects), len(bundle.Resources))
				}
				continue
			}
			for _, had := range before.Objects {
				at := slices.IndexFunc(view.Objects, func(one *unstructured.Unstructured) bool { return render.KeyOf(one) == render.KeyOf(had) })
				if at < 0 {
					fail("%s is gone", render.KeyOf(had))
				}
				if gone := merge.Oracles[had.GetKind()](had, view.Objects[at], random); len(gone) > 0 {
					fail("%s lost %s", render.KeyOf(had), strings.Join(gone, ", "))
				}
			}
		}
	}
}
