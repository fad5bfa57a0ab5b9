package merge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// Oracles return, by kind, the facts that are true for one object and not for another one. They do
// not depend on the rules of [unions].
var Oracles = map[string]func(one, other *unstructured.Unstructured, m Mutator) []string{
	"Service": func(one, other *unstructured.Unstructured, _ Mutator) []string {
		return without(one, other, func(spec map[string]any) []string { return numbers(nested.List(spec, "ports"), "port") })
	},
	"Gateway":             lostOfGateway,
	"ServiceEntry":        lostOfServiceEntry,
	"DestinationRule":     lostOfDestinationRule,
	"VirtualService":      lostOfVirtualService,
	"Sidecar":             lostOfSidecar,
	"AuthorizationPolicy": lostOfPolicy,
}

// notGained returns the facts of the desired object that its union lacks, apart from those that the
// live object excludes.
func notGained(kind string, desired, live, union *unstructured.Unstructured, m Mutator) []string {
	wanted, had := nested.Map(desired.Object, "spec"), nested.Map(live.Object, "spec")
	switch kind {
	case "ServiceEntry":
		rest := desired.DeepCopy()
		spec, now := nested.Map(rest.Object, "spec"), nested.Map(union.Object, "spec")
		from, to := endpointSourceOf(had), endpointSourceOf(wanted)
		selectsAll := selectsAllOf(nested.Map(wanted, "workloadSelector", "labels"), nested.Map(had, "workloadSelector", "labels"))
		if from == to && (from != fromPods || selectsAll) || from == fromNothing {
			// Several hosts on a plain port exclude each other as well.
			if Same(now["resolution"], wanted["resolution"]) && len(nested.List(now, "hosts")) == len(nested.List(wanted, "hosts")) {
				return lostOfServiceEntry(rest, union, m)
			}
		}
		// The live endpoints stay alone, because desired endpoints of another source exclude them.
		copyFields(spec, now, "workloadSelector", "resolution", "location")
		delete(spec, "endpoints")
		return slices.DeleteFunc(lostOfServiceEntry(rest, union, m), func(fact string) bool { return fact == hostsAsEndpoints })
	case "Gateway", "Sidecar":
		spec := nested.Map(union.Object, "spec")
		if !Same(spec["selector"], wanted["selector"]) || !Same(spec["workloadSelector"], wanted["workloadSelector"]) {
			return nil
		}
	case "AuthorizationPolicy":
		if actionOf(wanted) != "ALLOW" || actionOf(had) != "ALLOW" || !sameTargets(wanted, nested.Map(union.Object, "spec")) {
			return nil
		}
	}
	return Oracles[kind](desired, union, m)
}

// without returns the facts that are true for the spec of one object and not for that of another
// one.
func without(one, other *unstructured.Unstructured, facts func(spec map[string]any) []string) []string {
	there := facts(nested.Map(other.Object, "spec"))
	return slices.DeleteFunc(facts(nested.Map(one.Object, "spec")), func(fact string) bool { return slices.Contains(there, fact) })
}

func numbers(ports []any, field string) []string {
	var out []string
	for _, port := range ports {
		out = append(out, "port "+PortNumber(port, field))
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

// seenBy returns a fact for each namespace that sees the object.
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

func lostExports(one, other *unstructured.Unstructured) []string {
	namespaces := []string{one.GetNamespace(), "elsewhere"}
	for _, to := range slices.Concat(nested.List(one.Object["spec"], "exportTo"), nested.List(other.Object["spec"], "exportTo")) {
		if name := fmt.Sprint(to); !strings.ContainsAny(name, "*.~") {
			namespaces = append(namespaces, name)
		}
	}
	return without(one, other, func(spec map[string]any) []string { return seenBy(spec, one.GetNamespace(), namespaces) })
}

// hostsAsEndpoints is the fact of an entry without a list of endpoints or a selector.
const hostsAsEndpoints = "its hosts as endpoints"

func lostOfServiceEntry(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		out := append(facts(spec, "hosts", "addresses", "subjectAltNames"), numbers(nested.List(spec, "ports"), "number")...)
		for _, endpoint := range nested.List(spec, "endpoints") {
			out = append(out, "endpoint "+endpointIdentity(endpoint))
			if hasPrefix(nested.Map(endpoint)["address"], "unix:") {
				continue
			}
			for _, port := range nested.List(spec, "ports") {
				target := defaultTarget(port)
				if mapped, ok := nested.Map(endpoint, "ports")[fmt.Sprint(nested.Map(port)["name"])]; ok {
					target = mapped
				}
				out = append(out, fmt.Sprintf("endpoint %s for port %s at %v", endpointIdentity(endpoint), PortNumber(port, "number"), target))
			}
		}
		return out
	})
	before, after := nested.Map(one.Object, "spec"), nested.Map(other.Object, "spec")
	selectsAll := selectsAllOf(nested.Map(after, "workloadSelector", "labels"), nested.Map(before, "workloadSelector", "labels"))
	if SelectsPods(before) && (!SelectsPods(after) || !selectsAll) {
		lost = append(lost, "pods")
	}
	if endpointSourceOf(before) == fromHosts && endpointSourceOf(after) != fromHosts {
		lost = append(lost, hostsAsEndpoints)
	}
	if !accepted(after) {
		lost = append(lost, "acceptance by istiod")
	}
	return append(lost, lostExports(one, other)...)
}

func lostOfDestinationRule(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		var out []string
		for _, subset := range nested.List(spec, "subsets") {
			out = append(out, "subset "+nested.JSON(nested.Map(subset)["name"]))
		}
		return out
	})
	before, after := nested.Map(one.Object, "spec", "trafficPolicy"), nested.Map(other.Object, "spec", "trafficPolicy")
	for port, name := range snis(before) {
		// Another SNI or another setting of the same port is desired.
		if _, found := snis(after)[port]; !found && sniPort(name) == port {
			lost = append(lost, "the SNI of port "+port)
		}
	}
	return append(lost, lostExports(one, other)...)
}

// snis returns the SNI of each port that has a setting.
func snis(policy map[string]any) map[string]string {
	out := map[string]string{}
	if own := sniPort(sni(policy)); own != "" {
		out[own] = sni(policy)
	}
	for _, setting := range nested.List(policy, "portLevelSettings") {
		out[PortNumber(nested.Map(setting, "port"), "number")] = sni(nested.Map(setting))
	}
	return out
}

func lostOfVirtualService(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		out := facts(spec, "hosts")
		for _, gateway := range orMesh(nested.List(spec, "gateways")) {
			out = append(out, "gateway "+nested.JSON(gateway))
		}
		return out
	})
	routed := func(spec map[string]any, port string) bool {
		return slices.ContainsFunc([]string{"http", "tcp", "tls"}, func(kind string) bool {
			return slices.ContainsFunc(nested.List(spec, kind), func(route any) bool {
				return len(portsOf(route)) == 0 || slices.Contains(portsOf(route), port)
			})
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
	return append(lost, lostExports(one, other)...)
}

func lostOfGateway(one, other *unstructured.Unstructured, _ Mutator) []string {
	lost := without(one, other, func(spec map[string]any) []string {
		var out []string
		for _, server := range nested.List(spec, "servers") {
			for _, host := range nested.List(server, "hosts") {
				out = append(out, fmt.Sprint("host ", host, " on ", PortNumber(nested.Map(server, "port"), "number")))
			}
		}
		return out
	})
	if !selectsAllOf(nested.Map(other.Object, "spec", "selector"), nested.Map(one.Object, "spec", "selector")) {
		lost = append(lost, "workloads")
	}
	name := func(server any) string { return nested.JSON(nested.Map(server, "port")["name"]) }
	if hasDuplicates(nested.List(other.Object["spec"], "servers"), name) {
		lost = append(lost, "unique port names")
	}
	return lost
}

func lostOfSidecar(one, other *unstructured.Unstructured, m Mutator) []string {
	before, after := nested.Map(one.Object, "spec"), nested.Map(other.Object, "spec")
	var lost []string
	for _, pod := range pods(m, nested.Map(before, "workloadSelector", "labels"), nested.Map(after, "workloadSelector", "labels")) {
		known := func(spec map[string]any) []string {
			if !selectsAllOf(nested.Map(spec, "workloadSelector", "labels"), pod) || len(nested.List(spec, "egress")) == 0 {
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
		had, has := known(before), known(after)
		if has == nil || slices.Contains(has, `[null,"*/*"]`) {
			continue
		}
		if had == nil {
			lost = append(lost, "all hosts")
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

// lostOfPolicy tries random calls.
func lostOfPolicy(one, other *unstructured.Unstructured, m Mutator) []string {
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
			some := append(slices.Clone(values[field]), "another value")
			call[field] = some[m.IntN(len(some))]
		}
		pod := workloads[m.IntN(len(workloads))]
		if allows(one, pod, call) && !allows(other, pod, call) {
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

func allows(policy *unstructured.Unstructured, pod, call map[string]any) bool {
	spec := nested.Map(policy.Object, "spec")
	selects := selectsAllOf(nested.Map(spec, "selector", "matchLabels"), pod) && pod[""] == nil
	if spec["targetRef"] != nil || spec["targetRefs"] != nil {
		selects = pod[""] == targets(spec)
	}
	if !selects || policy.GetAnnotations()["istio.io/dry-run"] == "true" || spec["action"] == "AUDIT" {
		return true
	}
	matches := slices.ContainsFunc(nested.List(spec, "rules"), func(rule any) bool {
		oneOf := func(list, inner string) bool {
			items := nested.List(rule, list)
			return len(items) == 0 || slices.ContainsFunc(items, func(item any) bool { return meets(call, nested.Map(item, inner)) })
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

func meets(call, conditions map[string]any) bool {
	for field := range conditions {
		in := slices.Contains(nested.List(conditions, field), call[positive(field)])
		if in == strings.HasPrefix(field, "not") {
			return false
		}
	}
	return true
}
