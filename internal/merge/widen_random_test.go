package merge

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
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

// mutator changes specs at random, with what other objects of the kind have in the same place.
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

func TestRandomObjectsLoseNothingAndGainEverything(t *testing.T) {
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	pool := istiotest.Samples(t, validator)
	seed := rand.Uint64()
	if given := os.Getenv("ISTHMUS_SEED"); given != "" {
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	random := Mutator{rand.New(rand.NewPCG(seed, 0))}
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
			wide := Union(desired, live)
			IsAdditive(desired, live)
			if after := []string{nested.JSON(desired.Object), nested.JSON(live.Object)}; !slices.Equal(before, after) {
				t.Fatalf("ISTHMUS_SEED=%d: the arguments were changed: %s", seed, cmp.Diff(before, after))
			}
			var wrong []string
			for _, violation := range validator.Validate(wide) {
				wrong = append(wrong, "invalid: "+violation.String())
			}
			if again := Union(desired, wide); !cmp.Equal(again.Object, wide.Object) {
				wrong = append(wrong, "widened again it is another one:\n"+cmp.Diff(wide.Object, again.Object))
			}
			wrong = append(wrong, missing("lost", Oracles[kind](live, wide, random))...)
			if Same(wide.Object["spec"], live.Object["spec"]) && !Same(desired.Object["spec"], live.Object["spec"]) {
				stayed++
			} else {
				wrong = append(wrong, missing("not there", gained(kind, desired, live, wide, random))...)
			}
			if len(wrong) > 0 {
				t.Fatalf("ISTHMUS_SEED=%d: %s\n%s\ndesired: %s\nlive:    %s\nwidened: %s", seed, kind, strings.Join(wrong, "\n"), before[0], before[1], nested.JSON(wide.Object))
			}
		}
		t.Logf("%s: %d pairs, of which %d stayed as they were", kind, tried, stayed)
		if tried < pairs/4 || stayed > tried*3/4 {
			t.Errorf("ISTHMUS_SEED=%d: %s: of %d pairs %d stayed as they were: that proves little", seed, kind, tried, stayed)
		}
	}
}

func missing(what string, facts []string) []string {
	for i := range facts {
		facts[i] = what + ": " + facts[i]
	}
	return facts
}

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

// valid says what istiod's webhook would, too, where the rest relies on it.
func Valid(validator *istio.Validator, one *unstructured.Unstructured) bool {
	if nested.Map(one.Object, "spec") == nil || len(validator.Validate(one)) > 0 {
		return false
	}
	validator.Default(one)
	spec := nested.Map(one.Object, "spec")
	for _, field := range []string{"hosts", "exportTo", "addresses", "subjectAltNames", "gateways"} {
		if hasTwins(nested.List(spec, field), nested.JSON) {
			return false
		}
	}
	name := func(item any) string { return nested.JSON(nested.Map(item)["name"]) }
	switch one.GetKind() {
	case "ServiceEntry":
		labelNoEndpoint(one)
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
		return !hasTwins(nested.List(spec, "subsets"), name) && (spec["workloadSelector"] == nil || nested.JSON(spec["exportTo"]) == `["."]`)
	case "Gateway":
		return !hasTwins(nested.List(spec, "servers"), func(server any) string { return name(nested.Map(server, "port")) })
	case "Sidecar":
		egress := nested.List(spec, "egress")
		for i, listener := range egress {
			if len(nested.List(listener, "hosts")) == 0 || hasTwins(nested.List(listener, "hosts"), nested.JSON) || len(nested.Map(listener, "port")) == 0 && i < len(egress)-1 {
				return false
			}
		}
		return !hasTwins(egress, func(listener any) string { return nested.JSON(nested.Map(listener, "port")["number"]) })
	}
	return true
}

func hasTwins(list []any, key func(any) string) bool {
	seen := map[string]bool{}
	for _, item := range list {
		if seen[key(item)] {
			return true
		}
		seen[key(item)] = true
	}
	return false
}

// oracles tell by kind what one object gives and another one does not, by means that widening does not know.
var Oracles = map[string]func(one, other *unstructured.Unstructured, m Mutator) []string{
	"Service": func(one, other *unstructured.Unstructured, _ Mutator) []string {
		return without(one, other, func(spec map[string]any) []string { return numbers(nested.List(spec, "ports"), "port") })
	},
	"Gateway":             gatewayLoses,
	"ServiceEntry":        entryLoses,
	"DestinationRule":     destinationLoses,
	"VirtualService":      routesLose,
	"Sidecar":             sidecarLoses,
	"AuthorizationPolicy": policyLoses,
}

// gained is what the desired object gives and the widened one does not, apart from what cannot stand beside the live one.
func gained(kind string, desired, live, wide *unstructured.Unstructured, m Mutator) []string {
	wanted, had := nested.Map(desired.Object, "spec"), nested.Map(live.Object, "spec")
	switch kind {
	case "ServiceEntry":
		rest := desired.DeepCopy()
		spec, now := nested.Map(rest.Object, "spec"), nested.Map(wide.Object, "spec")
		if WayOf(wanted) == WayOf(had) && (WayOf(had) != Selected || within(nested.Map(wanted, "workloadSelector", "labels"), nested.Map(had, "workloadSelector", "labels"))) ||
			WayOf(had) == nowhere {
			// Nor beside more hosts on a plain port.
			if Same(now["resolution"], wanted["resolution"]) && len(nested.List(now, "hosts")) == len(nested.List(wanted, "hosts")) {
				return entryLoses(rest, wide, m)
			}
		}
		// The live endpoints stay alone, since the desired ones are of another kind.
		restore(spec, now, "workloadSelector", "resolution", "location")
		delete(spec, "endpoints")
		return slices.DeleteFunc(entryLoses(rest, wide, m), func(fact string) bool { return fact == itself })
	case "Gateway", "Sidecar":
		if !Same(nested.Map(wide.Object, "spec")["selector"], wanted["selector"]) || !Same(nested.Map(wide.Object, "spec")["workloadSelector"], wanted["workloadSelector"]) {
			return nil
		}
	case "AuthorizationPolicy":
		if actionOf(wanted) != "ALLOW" || actionOf(had) != "ALLOW" || !sameTargets(wanted, nested.Map(wide.Object, "spec")) {
			return nil
		}
	}
	return Oracles[kind](desired, wide, m)
}

// without are the facts about one spec that do not hold for another.
func without(one, other *unstructured.Unstructured, facts func(spec map[string]any) []string) []string {
	there := facts(nested.Map(other.Object, "spec"))
	return slices.DeleteFunc(facts(nested.Map(one.Object, "spec")), func(fact string) bool { return slices.Contains(there, fact) })
}

func numbers(ports []any, field string) []string {
	var out []string
	for _, port := range ports {
		out = append(out, "port "+Number(nested.Map(port), field))
	}
	return out
}

func facts(spec map[string]any, fields ...string) []string {
	var out []string
	for _, field := range fields {
		for _, item := range nested.List(spec, field) {
			out = append(out, field+" "+nested.JSON(item))
		}
	}
	return out
}

// seenBy tells in which of a few namespaces an object is seen.
func seenBy(spec map[string]any, own string, namespaces []string) []string {
	to := nested.List(spec, "exportTo")
	var out []string
	for _, namespace := range namespaces {
		all := len(to) == 0 || slices.Contains(to, "*")
		if all || slices.Contains(to, any(namespace)) || namespace == own && slices.Contains(to, ".") {
			out = append(out, "seen by "+namespace)
		}
	}
	return out
}

func exportsLose(one, other *unstructured.Unstructured) []string {
	namespaces := []string{one.GetNamespace(), "elsewhere"}
	for _, to := range slices.Concat(nested.List(one.Object["spec"], "exportTo"), nested.List(other.Object["spec"], "exportTo")) {
		if name := fmt.Sprint(to); !strings.ContainsAny(name, "*.~") {
			namespaces = append(namespaces, name)
		}
	}
	return without(one, other, func(spec map[string]any) []string { return seenBy(spec, one.GetNamespace(), namespaces) })
}

// itself is what an entry without endpoints leads to.
const itself = "its hosts as endpoints"

func entryLoses(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		out := append(facts(spec, "hosts", "addresses", "subjectAltNames"), numbers(nested.List(spec, "ports"), "number")...)
		for _, endpoint := range nested.List(spec, "endpoints") {
			out = append(out, "endpoint "+place(nested.Map(endpoint)))
			if hasPrefix(nested.Map(endpoint)["address"], "unix:") {
				continue
			}
			for _, port := range nested.List(spec, "ports") {
				target := targetOf(port)
				if mapped, ok := nested.Map(endpoint, "ports")[fmt.Sprint(nested.Map(port)["name"])]; ok {
					target = mapped
				}
				out = append(out, fmt.Sprintf("endpoint %s for port %s at %v", place(nested.Map(endpoint)), Number(nested.Map(port), "number"), target))
			}
		}
		return out
	})
	before, after := nested.Map(one.Object, "spec"), nested.Map(other.Object, "spec")
	if WayOf(before) == Selected && (WayOf(after) != Selected || !within(nested.Map(after, "workloadSelector", "labels"), nested.Map(before, "workloadSelector", "labels"))) {
		lost = append(lost, "pods")
	}
	if WayOf(before) == byItself && WayOf(after) != byItself {
		lost = append(lost, itself)
	}
	if !accepted(after) {
		lost = append(lost, "istiod's consent")
	}
	return append(lost, exportsLose(one, other)...)
}

func destinationLoses(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		var out []string
		for _, subset := range nested.List(spec, "subsets") {
			out = append(out, "subset "+nested.JSON(nested.Map(subset)["name"]))
		}
		return out
	})
	before, after := nested.Map(one.Object, "spec", "trafficPolicy"), nested.Map(other.Object, "spec", "trafficPolicy")
	for port, name := range asked(before) {
		// One that says something else of the port says it on purpose.
		if _, said := asked(after)[port]; !said && portOf(name) == port {
			lost = append(lost, "what gateways are asked for on port "+port)
		}
	}
	return append(lost, exportsLose(one, other)...)
}

// asked is what gateways are asked for, by port.
func asked(policy map[string]any) map[string]string {
	out := map[string]string{}
	if own := portOf(sni(policy)); own != "" {
		out[own] = sni(policy)
	}
	for _, setting := range nested.List(policy, "portLevelSettings") {
		out[Number(nested.Map(setting, "port"), "number")] = sni(nested.Map(setting))
	}
	return out
}

func routesLose(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		out := facts(spec, "hosts")
		for _, gateway := range gatewaysOf(spec) {
			out = append(out, "gateway "+nested.JSON(gateway))
		}
		return out
	})
	routed := func(spec map[string]any, port string) bool {
		return slices.ContainsFunc([]string{"http", "tcp", "tls"}, func(kind string) bool {
			return slices.ContainsFunc(nested.List(spec, kind), func(route any) bool { return len(portsOf(route)) == 0 || slices.Contains(portsOf(route), port) })
		})
	}
	for _, kind := range []string{"http", "tcp", "tls"} {
		for _, route := range nested.List(one.Object["spec"], kind) {
			for _, port := range portsOf(route) {
				if !routed(nested.Map(other.Object, "spec"), port) {
					lost = append(lost, "route for port "+port)
				}
			}
		}
	}
	return append(lost, exportsLose(one, other)...)
}

func gatewayLoses(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		var out []string
		for _, server := range nested.List(spec, "servers") {
			for _, host := range nested.List(server, "hosts") {
				out = append(out, fmt.Sprint("host ", host, " on ", Number(nested.Map(server, "port"), "number")))
			}
		}
		return out
	})
	if !within(nested.Map(other.Object, "spec", "selector"), nested.Map(one.Object, "spec", "selector")) {
		lost = append(lost, "workloads")
	}
	if valid := hasTwins(nested.List(other.Object["spec"], "servers"), func(server any) string { return nested.JSON(nested.Map(server, "port")["name"]) }); valid {
		lost = append(lost, "names that differ")
	}
	return lost
}

func sidecarLoses(one, other *unstructured.Unstructured, m Mutator) []string {
	before, after := nested.Map(one.Object, "spec"), nested.Map(other.Object, "spec")
	var lost []string
	for _, pod := range pods(m, nested.Map(before, "workloadSelector", "labels"), nested.Map(after, "workloadSelector", "labels")) {
		told := func(spec map[string]any) []string {
			if !within(nested.Map(spec, "workloadSelector", "labels"), pod) || len(nested.List(spec, "egress")) == 0 {
				return nil
			}
			var out []string
			for _, listener := range nested.List(spec, "egress") {
				for _, host := range nested.List(listener, "hosts") {
					out = append(out, nested.JSON([]any{nested.Map(listener, "port")["number"], host}))
				}
			}
			return out
		}
		had, has := told(before), told(after)
		if has == nil || slices.Contains(has, `[null,"*/*"]`) {
			continue
		}
		if had == nil {
			lost = append(lost, "everything")
		}
		lost = append(lost, slices.DeleteFunc(had, func(host string) bool { return slices.Contains(has, host) })...)
	}
	return lost
}

func pods(m Mutator, selectors ...map[string]any) []map[string]any {
	all := map[string]any{}
	out := []map[string]any{{}, {"app": "nothing"}}
	for _, selector := range selectors {
		out = append(out, maps.Clone(selector))
		maps.Copy(all, selector)
	}
	if m.IntN(2) == 0 {
		out = append(out, all)
	}
	return out
}

// policyLoses tries calls at random.
func policyLoses(one, other *unstructured.Unstructured, m Mutator) []string {
	before, after := nested.Map(one.Object, "spec"), nested.Map(other.Object, "spec")
	values := map[string][]any{}
	for _, policy := range []map[string]any{before, after} {
		for _, rule := range nested.List(policy, "rules") {
			for _, source := range nested.List(rule, "from") {
				collect(values, nested.Map(source, "source"))
			}
			for _, operation := range nested.List(rule, "to") {
				collect(values, nested.Map(operation, "operation"))
			}
			for _, when := range nested.List(rule, "when") {
				key := fmt.Sprint(nested.Map(when)["key"])
				values[key] = append(values[key], slices.Concat(nested.List(when, "values"), nested.List(when, "notValues"))...)
			}
		}
	}
	workloads := pods(m, nested.Map(before, "selector", "matchLabels"), nested.Map(after, "selector", "matchLabels"))
	for _, policy := range []map[string]any{before, after} {
		workloads = append(workloads, map[string]any{"": targets(policy)})
	}
	for range 300 {
		call := map[string]any{}
		for _, field := range slices.Sorted(maps.Keys(values)) {
			some := append(slices.Clone(values[field]), "something else")
			call[field] = some[m.IntN(len(some))]
		}
		pod := workloads[m.IntN(len(workloads))]
		if letsIn(one, pod, call) && !letsIn(other, pod, call) {
			return []string{"pod " + nested.JSON(pod) + " is called with " + nested.JSON(call)}
		}
	}
	return nil
}

func collect(values map[string][]any, conditions map[string]any) {
	for field := range conditions {
		values[positive(field)] = append(values[positive(field)], nested.List(conditions, field)...)
	}
}

// positive is "principals" for "notPrincipals".
func positive(field string) string {
	if rest, ok := strings.CutPrefix(field, "not"); ok {
		return strings.ToLower(rest[:1]) + rest[1:]
	}
	return field
}

func targets(policy map[string]any) string {
	return nested.JSON([]any{policy["targetRef"], policy["targetRefs"]})
}

func letsIn(policy *unstructured.Unstructured, pod, call map[string]any) bool {
	spec := nested.Map(policy.Object, "spec")
	selects := within(nested.Map(spec, "selector", "matchLabels"), pod) && pod[""] == nil
	if spec["targetRef"] != nil || spec["targetRefs"] != nil {
		selects = pod[""] == targets(spec)
	}
	if !selects || policy.GetAnnotations()["istio.io/dry-run"] == "true" || spec["action"] == "AUDIT" {
		return true
	}
	matches := slices.ContainsFunc(nested.List(spec, "rules"), func(rule any) bool {
		oneOf := func(list, inner string) bool {
			return len(nested.List(rule, list)) == 0 || slices.ContainsFunc(nested.List(rule, list), func(item any) bool { return fulfils(call, nested.Map(item, inner)) })
		}
		return oneOf("from", "source") && oneOf("to", "operation") && !slices.ContainsFunc(nested.List(rule, "when"), func(when any) bool {
			key := fmt.Sprint(nested.Map(when)["key"])
			conditions := map[string]any{key: nested.Map(when)["values"], "not": nested.Map(when)["notValues"]}
			in := conditions[key] == nil || slices.Contains(conditions[key].([]any), call[key])
			out := conditions["not"] != nil && slices.Contains(conditions["not"].([]any), call[key])
			return !in || out
		})
	})
	if spec["action"] == "ALLOW" || spec["action"] == nil {
		return matches
	}
	return !matches
}

func fulfils(call, conditions map[string]any) bool {
	for field := range conditions {
		in := slices.Contains(nested.List(conditions, field), call[positive(field)])
		if in == strings.HasPrefix(field, "not") {
			return false
		}
	}
	return true
}
