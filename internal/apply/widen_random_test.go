package apply

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
)

// mutator changes specs at random, with what other objects of the kind have in the same place.
type mutator struct{ *rand.Rand }

func (m mutator) change(spec, donor map[string]any) {
	name := m.name(spec, donor)
	switch own := spec[name].(type) {
	case nil:
		if other, ok := donor[name]; ok {
			spec[name] = deepCopy(other)
		}
	case map[string]any:
		if m.IntN(3) > 0 && len(own) > 0 {
			m.change(own, fieldsOf(donor, name))
			return
		}
		delete(spec, name)
	case []any:
		spec[name] = m.list(own, listOf(donor, name))
	default:
		other, ok := donor[name]
		if !ok || m.IntN(4) == 0 {
			delete(spec, name)
			return
		}
		spec[name] = other
	}
}

func (m mutator) name(spec, donor map[string]any) string {
	names := slices.Sorted(maps.Keys(spec))
	names = append(names, slices.Sorted(maps.Keys(donor))...)
	if len(names) == 0 {
		return "none"
	}
	return names[m.IntN(len(names))]
}

func (m mutator) list(own, donor []any) []any {
	out := slices.Clone(own)
	switch at := m.IntN(max(1, len(out))); {
	case len(out) > 0 && m.IntN(3) == 0:
		return slices.Delete(out, at, at+1)
	case len(donor) > 0 && m.IntN(2) == 0:
		return slices.Insert(out, at, deepCopy(donor[m.IntN(len(donor))]))
	case len(out) > 0 && fieldsOf(out[at]) != nil:
		with := map[string]any{}
		if len(donor) > 0 {
			with = fieldsOf(donor[m.IntN(len(donor))])
		}
		m.change(fieldsOf(out[at]), with)
	case len(out) > 1:
		m.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

func deepCopy(value any) any {
	var out any
	if err := yaml.Unmarshal([]byte(text(value)), &out); err != nil {
		panic(err)
	}
	return out
}

func TestRandomObjectsLoseNothingAndGainEverything(t *testing.T) {
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	pool := specimens(t, validator)
	seed := rand.Uint64()
	if given := os.Getenv("ISTHMUS_SEED"); given != "" {
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	random := mutator{rand.New(rand.NewPCG(seed, 0))}
	const pairs = 200
	for _, kind := range slices.Sorted(maps.Keys(unions)) {
		tried, stayed := 0, 0
		for range 40 * pairs {
			if tried == pairs {
				break
			}
			desired, live := random.pair(pool[kind])
			if !valid(validator, desired) || !valid(validator, live) {
				continue
			}
			tried++
			before := []string{text(desired.Object), text(live.Object)}
			wide := widen(desired, live)
			adds(desired, live)
			if after := []string{text(desired.Object), text(live.Object)}; !slices.Equal(before, after) {
				t.Fatalf("ISTHMUS_SEED=%d: the arguments were changed: %s", seed, cmp.Diff(before, after))
			}
			var wrong []string
			for _, violation := range validator.Validate(wide) {
				wrong = append(wrong, "invalid: "+violation.String())
			}
			if again := widen(desired, wide); !cmp.Equal(again.Object, wide.Object) {
				wrong = append(wrong, "widened again it is another one:\n"+cmp.Diff(wide.Object, again.Object))
			}
			wrong = append(wrong, missing("lost", oracles[kind](live, wide, random))...)
			if same(wide.Object["spec"], live.Object["spec"]) && !same(desired.Object["spec"], live.Object["spec"]) {
				stayed++
			} else {
				wrong = append(wrong, missing("not there", gained(kind, desired, live, wide, random))...)
			}
			if len(wrong) > 0 {
				t.Fatalf("ISTHMUS_SEED=%d: %s\n%s\ndesired: %s\nlive:    %s\nwidened: %s", seed, kind, strings.Join(wrong, "\n"), before[0], before[1], text(wide.Object))
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

func (m mutator) pair(pool []*unstructured.Unstructured) (desired, live *unstructured.Unstructured) {
	donor := func() map[string]any { return fieldsOf(pool[m.IntN(len(pool))].Object, "spec") }
	desired = pool[m.IntN(len(pool))].DeepCopy()
	live = desired.DeepCopy()
	if m.IntN(2) == 0 {
		live = pool[m.IntN(len(pool))].DeepCopy()
		live.SetName(desired.GetName())
		live.SetNamespace(desired.GetNamespace())
	}
	for _, one := range []*unstructured.Unstructured{desired, live} {
		for range m.IntN(4) {
			m.change(fieldsOf(one.Object, "spec"), donor())
		}
	}
	return desired, live
}

// valid says what istiod's webhook would, too, where the rest relies on it.
func valid(validator *istio.Validator, one *unstructured.Unstructured) bool {
	if fieldsOf(one.Object, "spec") == nil || len(validator.Validate(one)) > 0 {
		return false
	}
	validator.Default(one)
	spec := fieldsOf(one.Object, "spec")
	for _, field := range []string{"hosts", "exportTo", "addresses", "subjectAltNames", "gateways"} {
		if hasTwins(listOf(spec, field), text) {
			return false
		}
	}
	name := func(item any) string { return text(fieldsOf(item)["name"]) }
	switch one.GetKind() {
	case "ServiceEntry":
		labelNoEndpoint(one)
		to := listOf(spec, "exportTo")
		alone := !slices.Contains(to, "~") && !slices.Contains(to, "*") || len(to) == 1
		named := !slices.ContainsFunc(listOf(spec, "endpoints"), func(endpoint any) bool {
			for used := range fieldsOf(endpoint, "ports") {
				if !slices.ContainsFunc(listOf(spec, "ports"), func(port any) bool { return fieldsOf(port)["name"] == used }) {
					return true
				}
			}
			return false
		})
		return accepted(spec) && alone && named && !(slices.Contains(to, ".") && slices.Contains(to, any(one.GetNamespace())))
	case "DestinationRule":
		return !hasTwins(listOf(spec, "subsets"), name) && (spec["workloadSelector"] == nil || text(spec["exportTo"]) == `["."]`)
	case "Gateway":
		return !hasTwins(listOf(spec, "servers"), func(server any) string { return name(fieldsOf(server, "port")) })
	case "Sidecar":
		egress := listOf(spec, "egress")
		for i, listener := range egress {
			if len(listOf(listener, "hosts")) == 0 || hasTwins(listOf(listener, "hosts"), text) || len(fieldsOf(listener, "port")) == 0 && i < len(egress)-1 {
				return false
			}
		}
		return !hasTwins(egress, func(listener any) string { return text(fieldsOf(listener, "port")["number"]) })
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
var oracles = map[string]func(one, other *unstructured.Unstructured, m mutator) []string{
	"Service": func(one, other *unstructured.Unstructured, _ mutator) []string {
		return without(one, other, func(spec map[string]any) []string { return numbers(listOf(spec, "ports"), "port") })
	},
	"Gateway":             gatewayLoses,
	"ServiceEntry":        entryLoses,
	"DestinationRule":     destinationLoses,
	"VirtualService":      routesLose,
	"Sidecar":             sidecarLoses,
	"AuthorizationPolicy": policyLoses,
}

// gained is what the desired object gives and the widened one does not, apart from what cannot stand beside the live one.
func gained(kind string, desired, live, wide *unstructured.Unstructured, m mutator) []string {
	wanted, had := fieldsOf(desired.Object, "spec"), fieldsOf(live.Object, "spec")
	switch kind {
	case "ServiceEntry":
		rest := desired.DeepCopy()
		spec, now := fieldsOf(rest.Object, "spec"), fieldsOf(wide.Object, "spec")
		if wayOf(wanted) == wayOf(had) && (wayOf(had) != selected || within(fieldsOf(wanted, "workloadSelector", "labels"), fieldsOf(had, "workloadSelector", "labels"))) ||
			wayOf(had) == nowhere {
			// Nor beside more hosts on a plain port.
			if same(now["resolution"], wanted["resolution"]) && len(listOf(now, "hosts")) == len(listOf(wanted, "hosts")) {
				return entryLoses(rest, wide, m)
			}
		}
		// The live endpoints stay alone, since the desired ones are of another kind.
		restore(spec, now, "workloadSelector", "resolution", "location")
		delete(spec, "endpoints")
		return slices.DeleteFunc(entryLoses(rest, wide, m), func(fact string) bool { return fact == itself })
	case "Gateway", "Sidecar":
		if !same(fieldsOf(wide.Object, "spec")["selector"], wanted["selector"]) || !same(fieldsOf(wide.Object, "spec")["workloadSelector"], wanted["workloadSelector"]) {
			return nil
		}
	case "AuthorizationPolicy":
		if actionOf(wanted) != "ALLOW" || actionOf(had) != "ALLOW" || !sameTargets(wanted, fieldsOf(wide.Object, "spec")) {
			return nil
		}
	}
	return oracles[kind](desired, wide, m)
}

// without are the facts about one spec that do not hold for another.
func without(one, other *unstructured.Unstructured, facts func(spec map[string]any) []string) []string {
	there := facts(fieldsOf(other.Object, "spec"))
	return slices.DeleteFunc(facts(fieldsOf(one.Object, "spec")), func(fact string) bool { return slices.Contains(there, fact) })
}

func numbers(ports []any, field string) []string {
	var out []string
	for _, port := range ports {
		out = append(out, "port "+number(fieldsOf(port), field))
	}
	return out
}

func facts(spec map[string]any, fields ...string) []string {
	var out []string
	for _, field := range fields {
		for _, item := range listOf(spec, field) {
			out = append(out, field+" "+text(item))
		}
	}
	return out
}

// seenBy tells in which of a few namespaces an object is seen.
func seenBy(spec map[string]any, own string, namespaces []string) []string {
	to := listOf(spec, "exportTo")
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
	for _, to := range slices.Concat(listOf(one.Object["spec"], "exportTo"), listOf(other.Object["spec"], "exportTo")) {
		if name := fmt.Sprint(to); !strings.ContainsAny(name, "*.~") {
			namespaces = append(namespaces, name)
		}
	}
	return without(one, other, func(spec map[string]any) []string { return seenBy(spec, one.GetNamespace(), namespaces) })
}

// itself is what an entry without endpoints leads to.
const itself = "its hosts as endpoints"

func entryLoses(one, other *unstructured.Unstructured, _ mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		out := append(facts(spec, "hosts", "addresses", "subjectAltNames"), numbers(listOf(spec, "ports"), "number")...)
		for _, endpoint := range listOf(spec, "endpoints") {
			out = append(out, "endpoint "+place(fieldsOf(endpoint)))
			if hasPrefix(fieldsOf(endpoint)["address"], "unix:") {
				continue
			}
			for _, port := range listOf(spec, "ports") {
				target := targetOf(port)
				if mapped, ok := fieldsOf(endpoint, "ports")[fmt.Sprint(fieldsOf(port)["name"])]; ok {
					target = mapped
				}
				out = append(out, fmt.Sprintf("endpoint %s for port %s at %v", place(fieldsOf(endpoint)), number(fieldsOf(port), "number"), target))
			}
		}
		return out
	})
	before, after := fieldsOf(one.Object, "spec"), fieldsOf(other.Object, "spec")
	if wayOf(before) == selected && (wayOf(after) != selected || !within(fieldsOf(after, "workloadSelector", "labels"), fieldsOf(before, "workloadSelector", "labels"))) {
		lost = append(lost, "pods")
	}
	if wayOf(before) == byItself && wayOf(after) != byItself {
		lost = append(lost, itself)
	}
	if !accepted(after) {
		lost = append(lost, "istiod's consent")
	}
	return append(lost, exportsLose(one, other)...)
}

func destinationLoses(one, other *unstructured.Unstructured, _ mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		var out []string
		for _, subset := range listOf(spec, "subsets") {
			out = append(out, "subset "+text(fieldsOf(subset)["name"]))
		}
		return out
	})
	before, after := fieldsOf(one.Object, "spec", "trafficPolicy"), fieldsOf(other.Object, "spec", "trafficPolicy")
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
	for _, setting := range listOf(policy, "portLevelSettings") {
		out[number(fieldsOf(setting, "port"), "number")] = sni(fieldsOf(setting))
	}
	return out
}

func routesLose(one, other *unstructured.Unstructured, _ mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		out := facts(spec, "hosts")
		for _, gateway := range gatewaysOf(spec) {
			out = append(out, "gateway "+text(gateway))
		}
		return out
	})
	routed := func(spec map[string]any, port string) bool {
		return slices.ContainsFunc([]string{"http", "tcp", "tls"}, func(kind string) bool {
			return slices.ContainsFunc(listOf(spec, kind), func(route any) bool { return len(portsOf(route)) == 0 || slices.Contains(portsOf(route), port) })
		})
	}
	for _, kind := range []string{"http", "tcp", "tls"} {
		for _, route := range listOf(one.Object["spec"], kind) {
			for _, port := range portsOf(route) {
				if !routed(fieldsOf(other.Object, "spec"), port) {
					lost = append(lost, "route for port "+port)
				}
			}
		}
	}
	return append(lost, exportsLose(one, other)...)
}

func gatewayLoses(one, other *unstructured.Unstructured, _ mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		var out []string
		for _, server := range listOf(spec, "servers") {
			for _, host := range listOf(server, "hosts") {
				out = append(out, fmt.Sprint("host ", host, " on ", number(fieldsOf(server, "port"), "number")))
			}
		}
		return out
	})
	if !within(fieldsOf(other.Object, "spec", "selector"), fieldsOf(one.Object, "spec", "selector")) {
		lost = append(lost, "workloads")
	}
	if valid := hasTwins(listOf(other.Object["spec"], "servers"), func(server any) string { return text(fieldsOf(server, "port")["name"]) }); valid {
		lost = append(lost, "names that differ")
	}
	return lost
}

func sidecarLoses(one, other *unstructured.Unstructured, m mutator) []string {
	before, after := fieldsOf(one.Object, "spec"), fieldsOf(other.Object, "spec")
	var lost []string
	for _, pod := range pods(m, fieldsOf(before, "workloadSelector", "labels"), fieldsOf(after, "workloadSelector", "labels")) {
		told := func(spec map[string]any) []string {
			if !within(fieldsOf(spec, "workloadSelector", "labels"), pod) || len(listOf(spec, "egress")) == 0 {
				return nil
			}
			var out []string
			for _, listener := range listOf(spec, "egress") {
				for _, host := range listOf(listener, "hosts") {
					out = append(out, text([]any{fieldsOf(listener, "port")["number"], host}))
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

func pods(m mutator, selectors ...map[string]any) []map[string]any {
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
func policyLoses(one, other *unstructured.Unstructured, m mutator) []string {
	before, after := fieldsOf(one.Object, "spec"), fieldsOf(other.Object, "spec")
	values := map[string][]any{}
	for _, policy := range []map[string]any{before, after} {
		for _, rule := range listOf(policy, "rules") {
			for _, source := range listOf(rule, "from") {
				collect(values, fieldsOf(source, "source"))
			}
			for _, operation := range listOf(rule, "to") {
				collect(values, fieldsOf(operation, "operation"))
			}
			for _, when := range listOf(rule, "when") {
				key := fmt.Sprint(fieldsOf(when)["key"])
				values[key] = append(values[key], slices.Concat(listOf(when, "values"), listOf(when, "notValues"))...)
			}
		}
	}
	workloads := pods(m, fieldsOf(before, "selector", "matchLabels"), fieldsOf(after, "selector", "matchLabels"))
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
			return []string{"pod " + text(pod) + " is called with " + text(call)}
		}
	}
	return nil
}

func collect(values map[string][]any, conditions map[string]any) {
	for field := range conditions {
		values[positive(field)] = append(values[positive(field)], listOf(conditions, field)...)
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
	return text([]any{policy["targetRef"], policy["targetRefs"]})
}

func letsIn(policy *unstructured.Unstructured, pod, call map[string]any) bool {
	spec := fieldsOf(policy.Object, "spec")
	selects := within(fieldsOf(spec, "selector", "matchLabels"), pod) && pod[""] == nil
	if spec["targetRef"] != nil || spec["targetRefs"] != nil {
		selects = pod[""] == targets(spec)
	}
	if !selects || policy.GetAnnotations()["istio.io/dry-run"] == "true" || spec["action"] == "AUDIT" {
		return true
	}
	matches := slices.ContainsFunc(listOf(spec, "rules"), func(rule any) bool {
		oneOf := func(list, inner string) bool {
			return len(listOf(rule, list)) == 0 || slices.ContainsFunc(listOf(rule, list), func(item any) bool { return fulfils(call, fieldsOf(item, inner)) })
		}
		return oneOf("from", "source") && oneOf("to", "operation") && !slices.ContainsFunc(listOf(rule, "when"), func(when any) bool {
			key := fmt.Sprint(fieldsOf(when)["key"])
			conditions := map[string]any{key: fieldsOf(when)["values"], "not": fieldsOf(when)["notValues"]}
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
		in := slices.Contains(listOf(conditions, field), call[positive(field)])
		if in == strings.HasPrefix(field, "not") {
			return false
		}
	}
	return true
}
