package merge

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// endpointSource is where a ServiceEntry gets its endpoints from. An entry has one source only.
type endpointSource int

const (
	fromNothing endpointSource = iota // no endpoints, or a selector that matches no pod
	fromHosts                         // its hosts, or the original destination address
	fromPods                          // the pods that its selector matches
	fromList                          // its list of endpoints
)

func endpointSourceOf(entry map[string]any) endpointSource {
	switch {
	case len(nested.List(entry, "endpoints")) > 0:
		return fromList
	case selectsNothing(entry):
		return fromNothing
	case nested.Map(entry, "workloadSelector") != nil:
		return fromPods
	case entry["location"] == "MESH_INTERNAL", entry["resolution"] == "STATIC":
		return fromNothing
	default:
		return fromHosts
	}
}

// SelectsPods reports whether the endpoints of a ServiceEntry are pods.
func SelectsPods(entry map[string]any) bool { return endpointSourceOf(entry) == fromPods }

// selectsNothing reports whether the selector of a ServiceEntry is the one that no pod matches.
func selectsNothing(entry map[string]any) bool {
	_, found := nested.Map(entry, "workloadSelector", "labels")[render.LabelNoEndpoint]
	return found
}

// HasEndpoints reports whether a ServiceEntry has endpoints of any source.
func HasEndpoints(entry *unstructured.Unstructured) bool {
	spec := nested.Map(entry.Object, "spec")
	return len(spec) > 0 && endpointSourceOf(spec) != fromNothing && entry.GetLabels()[render.LabelNoEndpoint] != "true"
}
