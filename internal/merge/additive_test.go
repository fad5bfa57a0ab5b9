package merge

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestChangedValueIsNotAdditive(t *testing.T) {
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	pool := istiotest.Samples(t, validator)
	seed := istiotest.Seed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, kind := range slices.Sorted(maps.Keys(unions)) {
		changes := 0
		for range 2000 {
			live := pool[kind][random.IntN(len(pool[kind]))]
			desired := live.DeepCopy()
			path, had := changeOne(random, nested.Map(desired.Object, "spec")), nested.Map(live.Object, "spec")
			unused := endpointSourceOf(had) == fromNothing || slices.Contains(nested.List(had, "exportTo"), any("~"))
			if path == "" || unused || Union(desired, live) != desired {
				continue // The object had no users, or the update also removes something.
			}
			changes++
			if kind != istio.AuthorizationPolicyKind && IsAdditive(desired, live) {
				t.Fatalf("%s: a changed value at %s counts as additive: %s", kind, path, nested.JSON(desired.Object["spec"]))
			}
		}
		if kind != istio.AuthorizationPolicyKind && changes == 0 {
			t.Errorf("no %s was changed: that proves nothing", kind)
		}
	}
}

// changeOne changes one random scalar inside a value, and returns its path; "" if there is none.
func changeOne(random *rand.Rand, within any) string {
	switch within := within.(type) {
	case map[string]any:
		if len(within) == 0 {
			return ""
		}
		names := slices.Sorted(maps.Keys(within))
		name := names[random.IntN(len(names))]
		if fresh, ok := changed(within[name]); ok {
			within[name] = fresh
			return "." + name
		}
		if inner := changeOne(random, within[name]); inner != "" {
			return "." + name + inner
		}
	case []any:
		if len(within) == 0 {
			return ""
		}
		i := random.IntN(len(within))
		if fresh, ok := changed(within[i]); ok {
			within[i] = fresh
			return fmt.Sprintf("[%d]", i)
		}
		if inner := changeOne(random, within[i]); inner != "" {
			return fmt.Sprintf("[%d]%s", i, inner)
		}
	}
	return ""
}

// changed returns another scalar of the same type; false if the value is no scalar.
func changed(value any) (any, bool) {
	switch value := value.(type) {
	case string:
		return value + "9", true
	case bool:
		return !value, true
	case int64:
		return value + 1, true
	case float64:
		return value + 1, true
	default:
		return nil, false
	}
}
