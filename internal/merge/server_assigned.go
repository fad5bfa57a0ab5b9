package merge

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// allotted are, for a kind, the fields of spec to which the API server gives values of its own, and which a bundle never has. They
// are no difference and are kept on PUT. Everything else that it fills in is the same in every cluster and so stands in the
// desired object: nobody changes it unnoticed.
var serverAssignedFields = map[string][]string{
	// The address is immutable, and whoever resolved the name holds on to it.
	"Service": {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"},
}

// withoutAllotted is the spec of a live object as far as it is compared.
func SpecWithoutServerFields(live *unstructured.Unstructured) any {
	names := serverAssignedFields[live.GetKind()]
	spec, ok := live.Object["spec"].(map[string]any)
	if len(names) == 0 || !ok {
		return live.Object["spec"]
	}
	compared := maps.Clone(spec)
	maps.DeleteFunc(compared, func(name string, _ any) bool { return slices.Contains(names, name) })
	return compared
}

// keepAllotted puts into out what the live object was allotted.
func keepServerAssigned(out, live *unstructured.Unstructured) {
	spec, ok := out.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	given, _ := live.Object["spec"].(map[string]any)
	for _, name := range serverAssignedFields[out.GetKind()] {
		if value, there := given[name]; there {
			spec[name] = runtime.DeepCopyJSONValue(value)
		}
	}
}
