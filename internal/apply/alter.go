package apply

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// additions give, by kind, the spec that an object has what another one would add to it, and change nothing else of it. For other kinds that is what [unions]
// make with the two the other way round.
var additions = map[string]func(namespace string, live, desired map[string]any) map[string]any{
	"DestinationRule": addToDestinationRule,
	"ServiceEntry":    addToServiceEntry,
}

// adds reports whether an update that loses nothing only adds, so that whoever used the object goes on as before. Where it is not sure it does not.
func adds(desired, live *unstructured.Unstructured) bool {
	wanted := fieldsOf(desired.Object, "spec")
	had, _ := withoutAllotted(live).(map[string]any)
	if len(had) == 0 || same(wanted, had) {
		return true
	}
	if desired.GetKind() == policyKind {
		return true // There is nothing in it but whom it lets in, and of these it loses nobody.
	}
	add := additions[desired.GetKind()]
	if add == nil {
		add = unions[desired.GetKind()]
	}
	return add != nil && same(add(desired.GetNamespace(), had, wanted), wanted)
}

// addToServiceEntry adds no name to prove where endpoints had to prove none.
func addToServiceEntry(namespace string, live, desired map[string]any) map[string]any {
	out := uniteServiceEntries(namespace, live, desired)
	if wayOf(live) != nowhere && len(listOf(live, "subjectAltNames")) == 0 {
		out = maps.Clone(out)
		delete(out, "subjectAltNames")
	}
	return out
}

// addToDestinationRule adds subsets, and the names that gateways are asked for on further ports.
func addToDestinationRule(namespace string, live, desired map[string]any) map[string]any {
	out := addTunnels(live, desired)
	set(out, "exportTo", uniteExports(namespace, listOf(live, "exportTo"), listOf(desired, "exportTo")))
	set(out, "subsets", merging{
		key:  func(subset map[string]any) string { return text(subset["name"]) },
		join: addTunnels,
	}.of(listOf(live, "subsets"), listOf(desired, "subsets")))
	return out
}

// addTunnels adds settings of ports to the trafficPolicy of a rule or of a subset that leads through gateways already.
func addTunnels(live, desired map[string]any) map[string]any {
	out := maps.Clone(live)
	had := fieldsOf(live, "trafficPolicy")
	further := slices.DeleteFunc(tunnels(fieldsOf(desired, "trafficPolicy")), func(setting any) bool {
		return number(fieldsOf(setting, "port"), "number") == portOf(sni(had))
	})
	if sni(had) == "" || len(further) == 0 {
		return out
	}
	policy := maps.Clone(had)
	set(policy, "portLevelSettings", merging{
		key: func(setting map[string]any) string { return number(fieldsOf(setting, "port"), "number") },
	}.of(listOf(had, "portLevelSettings"), further))
	out["trafficPolicy"] = policy
	return out
}
