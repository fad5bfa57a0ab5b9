package merge

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/long"
)

// Mutator changes specs at random. A new value comes from the same field of another object.
type Mutator struct{ *rand.Rand }

func (m Mutator) Change(spec, donor map[string]any) {
	name := m.name(spec, donor)
	switch own := spec[name].(type) {
	case nil:
		if other, ok := donor[name]; ok {
			spec[name] = deepCopy(other)
		}
	case map[string]any:
		if m.IntN(3) > 0 && len(own) > 0 {
			m.Change(own, nested.Map(donor, name))
			return
		}
		delete(spec, name)
	case []any:
		spec[name] = m.list(own, nested.List(donor, name))
	default:
		other, ok := donor[name]
		if !ok || m.IntN(4) == 0 {
			delete(spec, name)
			return
		}
		spec[name] = other
	}
}

func (m Mutator) name(spec, donor map[string]any) string {
	names := slices.Sorted(maps.Keys(spec))
	names = append(names, slices.Sorted(maps.Keys(donor))...)
	if len(names) == 0 {
		return "none"
	}
	return names[m.IntN(len(names))]
}

func (m Mutator) list(own, donor []any) []any {
	out := slices.Clone(own)
	switch at := m.IntN(max(1, len(out))); {
	case len(out) > 0 && m.IntN(3) == 0:
		return slices.Delete(out, at, at+1)
	case len(donor) > 0 && m.IntN(2) == 0:
		return slices.Insert(out, at, deepCopy(donor[m.IntN(len(donor))]))
	case len(out) > 0 && nested.Map(out[at]) != nil:
		with := map[string]any{}
		if len(donor) > 0 {
			with = nested.Map(donor[m.IntN(len(donor))])
		}
		m.Change(nested.Map(out[at]), with)
	case len(out) > 1:
		m.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

func deepCopy(value any) any {
	var out any
	if err := yaml.Unmarshal([]byte(nested.JSON(value)), &out); err != nil {
		panic(err)
	}
	return out
}

func TestRandomUnionsLoseNothingAndGainEverything(t *testing.T) {
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	pool := istiotest.Samples(t, validator)
	random := Mutator{rand.New(rand.NewPCG(istiotest.Seed(t), 0))}
	pairs := long.Or(80, 200)
	for _, kind := range slices.Sorted(maps.Keys(unions)) {
		tried, stayed := 0, 0
		for range 40 * pairs {
			if tried == pairs {
				break
			}
			desired, live := random.pair(pool[kind])
			if !Valid(validator, desired) || !Valid(validator, live) {
				continue
			}
			tried++
			before := []string{nested.JSON(desired.Object), nested.JSON(live.Object)}
			got := Union(desired, live)
			IsAdditive(desired, live)
			if after := []string{nested.JSON(desired.Object), nested.JSON(live.Object)}; !slices.Equal(before, after) {
				t.Fatalf("the arguments were changed: %s", cmp.Diff(before, after))
			}
			var wrong []string
			for _, violation := range validator.Validate(got) {
				wrong = append(wrong, "invalid: "+violation.String())
			}
			if again := Union(desired, got); !cmp.Equal(again.Object, got.Object) {
				wrong = append(wrong, "the union with the union is different:\n"+cmp.Diff(got.Object, again.Object))
			}
			wrong = append(wrong, prefixed("lost: ", Oracles[kind](live, got, random))...)
			if Same(got.Object["spec"], live.Object["spec"]) && !Same(desired.Object["spec"], live.Object["spec"]) {
				stayed++
			} else {
				wrong = append(wrong, prefixed("not gained: ", notGained(kind, desired, live, got, random))...)
			}
			if len(wrong) > 0 {
				t.Fatalf("%s\n%s\ndesired: %s\nlive:    %s\nunion:   %s",
					kind, strings.Join(wrong, "\n"), before[0], before[1], nested.JSON(got.Object))
			}
		}
		t.Logf("%s: %d pairs; the union of %d pairs is the live object", kind, tried, stayed)
		if tried < pairs/4 || stayed > tried*3/4 {
			t.Errorf("%s: %d pairs, and the union of %d pairs is the live object: too few to prove anything", kind, tried, stayed)
		}
	}
}

func prefixed(prefix string, facts []string) []string {
	for i := range facts {
		facts[i] = prefix + facts[i]
	}
	return facts
}

// pair returns two objects of one pool, related or not, with random changes.
func (m Mutator) pair(pool []*unstructured.Unstructured) (desired, live *unstructured.Unstructured) {
	donor := func() map[string]any { return nested.Map(pool[m.IntN(len(pool))].Object, "spec") }
	desired = pool[m.IntN(len(pool))].DeepCopy()
	live = desired.DeepCopy()
	if m.IntN(2) == 0 {
		live = pool[m.IntN(len(pool))].DeepCopy()
		live.SetName(desired.GetName())
		live.SetNamespace(desired.GetNamespace())
	}
	for _, one := range []*unstructured.Unstructured{desired, live} {
		for range m.IntN(4) {
			m.Change(nested.Map(one.Object, "spec"), donor())
		}
	}
	return desired, live
}

// Valid checks the CRD, and those rules of istiod's webhook that unions rely on.
func Valid(validator *istio.Validator, one *unstructured.Unstructured) bool {
	if nested.Map(one.Object, "spec") == nil || len(validator.Validate(one)) > 0 {
		return false
	}
	validator.Default(one)
	spec := nested.Map(one.Object, "spec")
	for _, field := range []string{"hosts", "exportTo", "addresses", "subjectAltNames", "gateways"} {
		if hasDuplicates(nested.List(spec, field), nested.JSON) {
			return false
		}
	}
	name := func(item any) string { return nested.JSON(nested.Map(item)["name"]) }
	switch one.GetKind() {
	case "ServiceEntry":
		labelNoEndpoint(one, nil)
		to := nested.List(spec, "exportTo")
		alone := !slices.Contains(to, "~") && !slices.Contains(to, "*") || len(to) == 1
		named := !slices.ContainsFunc(nested.List(spec, "endpoints"), func(endpoint any) bool {
			for used := range nested.Map(endpoint, "ports") {
				if !slices.ContainsFunc(nested.List(spec, "ports"), func(port any) bool { return nested.Map(port)["name"] == used }) {
					return true
				}
			}
			return false
		})
		return accepted(spec) && alone && named && !(slices.Contains(to, ".") && slices.Contains(to, any(one.GetNamespace())))
	case "DestinationRule":
		return !hasDuplicates(nested.List(spec, "subsets"), name) && (spec["workloadSelector"] == nil || nested.JSON(spec["exportTo"]) == `["."]`)
	case "Gateway":
		return !hasDuplicates(nested.List(spec, "servers"), func(server any) string { return name(nested.Map(server, "port")) })
	case "Sidecar":
		egress := nested.List(spec, "egress")
		for i, listener := range egress {
			hosts := nested.List(listener, "hosts")
			catchAllFirst := len(nested.Map(listener, "port")) == 0 && i < len(egress)-1
			if len(hosts) == 0 || hasDuplicates(hosts, nested.JSON) || catchAllFirst {
				return false
			}
		}
		return !hasDuplicates(egress, func(listener any) string { return nested.JSON(nested.Map(listener, "port")["number"]) })
	}
	return true
}

func hasDuplicates(list []any, key func(any) string) bool {
	seen := map[string]bool{}
	for _, item := range list {
		if seen[key(item)] {
			return true
		}
		seen[key(item)] = true
	}
	return false
}
