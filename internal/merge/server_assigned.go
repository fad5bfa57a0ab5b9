package merge

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// serverAssignedFields has, by kind, the fields of spec whose values the API server chooses for
// each object. A bundle never has them. They are no difference, and a PUT keeps them. All other
// defaults are equal in every cluster and part of the desired object, so that drift in them is
// found.
var serverAssignedFields = map[string][]string{
	// The address is immutable, and clients that resolved the name use it.
	"Service": {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"},
}

// SpecWithoutServerFields returns the part of the live spec that is compared with a desired one.
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

// keepServerAssigned copies the values that the API server chose for the live object.
func keepServerAssigned(out, live *unstructured.Unstructured) {
	spec, ok := out.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	given, _ := live.Object["spec"].(map[string]any)
	for _, name := range serverAssignedFields[out.GetKind()] {
		if value, found := given[name]; found {
			spec[name] = runtime.DeepCopyJSONValue(value)
		}
	}
}
