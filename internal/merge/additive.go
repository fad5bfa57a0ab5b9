package merge

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// additions give, by kind, the spec that an object has what another one would add to it, and change nothing else of it. For other kinds that is what [unions]
// make with the two the other way round.
var additions = map[string]func(namespace string, live, desired map[string]any) map[string]any{
	"DestinationRule": addToDestinationRule,
	"ServiceEntry":    addToServiceEntry,
}

// adds reports whether an update that loses nothing only adds, so that whoever used the object goes on as before. Where it is not sure it does not.
func IsAdditive(desired, live *unstructured.Unstructured) bool {
	wanted := nested.Map(desired.Object, "spec")
	had, _ := SpecWithoutServerFields(live).(map[string]any)
	if len(had) == 0 || Same(wanted, had) {
		return true
	}
	if desired.GetKind() == istio.AuthorizationPolicyKind {
		return true // There is nothing in it but whom it lets in, and of these it loses nobody.
	}
	add := additions[desired.GetKind()]
	if add == nil {
		add = unions[desired.GetKind()]
	}
	return add != nil && Same(add(desired.GetNamespace(), had, wanted), wanted)
}

// addToServiceEntry adds no name to prove where endpoints had to prove none.
func addToServiceEntry(namespace string, live, desired map[string]any) map[string]any {
	out := uniteServiceEntries(namespace, live, desired)
	if WayOf(live) != nowhere && len(nested.List(live, "subjectAltNames")) == 0 {
		out = maps.Clone(out)
		delete(out, "subjectAltNames")
	}
	return out
}

// addToDestinationRule adds subsets, and the names that gateways are asked for on further ports.
func addToDestinationRule(namespace string, live, desired map[string]any) map[string]any {
	out := addTunnels(live, desired)
	Set(out, "exportTo", uniteExports(namespace, nested.List(live, "exportTo"), nested.List(desired, "exportTo")))
	Set(out, "subsets", merging{
		key:  func(subset map[string]any) string { return nested.JSON(subset["name"]) },
		join: addTunnels,
	}.of(nested.List(live, "subsets"), nested.List(desired, "subsets")))
	return out
}

// addTunnels adds settings of ports to the trafficPolicy of a rule or of a subset that leads through gateways already.
func addTunnels(live, desired map[string]any) map[string]any {
	out := maps.Clone(live)
	had := nested.Map(live, "trafficPolicy")
	further := slices.DeleteFunc(tunnels(nested.Map(desired, "trafficPolicy")), func(setting any) bool {
		return Number(nested.Map(setting, "port"), "number") == portOf(sni(had))
	})
	if sni(had) == "" || len(further) == 0 {
		return out
	}
	policy := maps.Clone(had)
	Set(policy, "portLevelSettings", merging{
		key: func(setting map[string]any) string { return Number(nested.Map(setting, "port"), "number") },
	}.of(nested.List(had, "portLevelSettings"), further))
	out["trafficPolicy"] = policy
	return out
}
