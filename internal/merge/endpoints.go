package merge

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// hasEndpoints reports whether a ServiceEntry leads anywhere. One for a host outside of the mesh needs no list
// of endpoints: the name itself, or the address that was called, is the endpoint. One that only holds a name selects pods that
// there are not.
func HasEndpoints(entry *unstructured.Unstructured) bool {
	if entry.GetLabels()[render.LabelNoEndpoint] == "true" {
		return false
	}
	spec, _ := entry.Object["spec"].(map[string]any)
	if endpoints, ok := spec["endpoints"].([]any); ok && len(endpoints) > 0 {
		return true
	}
	if _, ok := spec["workloadSelector"].(map[string]any); ok {
		return !SelectsNothing(spec)
	}
	inside := spec["location"] == "MESH_INTERNAL"
	return len(spec) > 0 && !inside && spec["resolution"] != "STATIC"
}
