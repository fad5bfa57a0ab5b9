package merge

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// additions has the rules that differ from those of [unions] where a desired spec is added to the
// live one.
var additions = map[string]kindRule{
	"DestinationRule": {
		lists:  listRules{"subsets": keyedList{key: keyedBy("name"), both: addTunnels}.merge},
		finish: func(merged, _, desired map[string]any) map[string]any { return addTunnels(merged, desired) },
	},
	"ServiceEntry": {lists: unions["ServiceEntry"].lists, finish: addToServiceEntry},
}

// IsAdditive reports whether an update that loses nothing also leaves everything as it is for those
// who use the object. It is false if that is not certain.
func IsAdditive(desired, live *unstructured.Unstructured) bool {
	wanted := nested.Map(desired.Object, "spec")
	had, _ := SpecWithoutServerFields(live).(map[string]any)
	if len(had) == 0 || Same(wanted, had) {
		return true
	}
	if desired.GetKind() == istio.AuthorizationPolicyKind {
		return true // A policy only grants access, and the update removes none.
	}
	rule, ok := additions[desired.GetKind()]
	if !ok {
		rule, ok = unions[desired.GetKind()]
	}
	return ok && Same(rule.merge(desired.GetNamespace(), had, wanted), wanted)
}

// addToServiceEntry adds no first subjectAltName: endpoints that needed no name in their
// certificate may not have it.
func addToServiceEntry(merged, live, desired map[string]any) map[string]any {
	out := finishServiceEntry(merged, live, desired)
	if endpointSourceOf(live) != fromNothing && len(nested.List(live, "subjectAltNames")) == 0 {
		delete(out, "subjectAltNames")
	}
	return out
}

// addTunnels adds the SNI of further ports to a trafficPolicy that leads through gateways already.
func addTunnels(live, desired map[string]any) map[string]any {
	if sni(nested.Map(live, "trafficPolicy")) == "" {
		return live
	}
	return keepTunnels(live, desired)
}
