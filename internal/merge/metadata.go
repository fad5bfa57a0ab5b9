package merge

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// Differences returns the sorted paths at which a live object differs from the desired one. It
// compares the whole spec except for server-assigned fields, the desired labels and annotations,
// and those that Isthmus set earlier. It ignores the status and the labels and annotations of other
// field managers. The desired object must have the defaults of its CRD.
func Differences(desired, live *unstructured.Unstructured, id string) []string {
	paths := specDifferences(desired, live)
	labels, annotations := desiredMetadata(desired, live, id)
	paths = append(paths, compareStrings("metadata.labels.", labels, live.GetLabels())...)
	paths = append(paths, compareStrings("metadata.annotations.", annotations, live.GetAnnotations())...)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// UpdateBody returns the body of a PUT: the desired content, with the identity, the server-assigned
// fields and the foreign metadata of the live object. It has no managedFields, so that the API
// server keeps its own.
func UpdateBody(desired, live *unstructured.Unstructured, id string) *unstructured.Unstructured {
	out := desired.DeepCopy()
	keepServerAssigned(out, live)
	if metadata, ok := live.Object["metadata"].(map[string]any); ok {
		kept := (&unstructured.Unstructured{Object: map[string]any{"metadata": metadata}}).DeepCopy()
		out.Object["metadata"] = kept.Object["metadata"]
	}
	out.SetManagedFields(nil)
	labels, annotations := desiredMetadata(desired, live, id)
	out.SetLabels(labels)
	out.SetAnnotations(annotations)
	return out
}

// CreateBody returns the body of a POST.
func CreateBody(desired *unstructured.Unstructured, id string) *unstructured.Unstructured {
	out := desired.DeepCopy()
	labels := out.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[ownership.LabelPartOf] = id
	out.SetLabels(labels)
	return out
}

// desiredMetadata returns the desired labels and annotations, and those of other field managers.
func desiredMetadata(desired, live *unstructured.Unstructured, id string) (labels, annotations map[string]string) {
	ourLabels, ourAnnotations := ownership.OwnedMetadata(live)
	labels = overlay(live.GetLabels(), ourLabels, desired.GetLabels())
	labels[ownership.LabelPartOf] = id
	// Only Isthmus uses this annotation, whichever field manager set it.
	ourAnnotations.Insert(ownership.AnnotationWithdrawn)
	return labels, overlay(live.GetAnnotations(), ourAnnotations, desired.GetAnnotations())
}

func overlay(live map[string]string, ours sets.Set[string], desired map[string]string) map[string]string {
	out := make(map[string]string, len(live)+len(desired))
	for key, value := range live {
		if !ours.Has(key) {
			out[key] = value
		}
	}
	maps.Copy(out, desired)
	return out
}

func compareStrings(prefix string, wanted, live map[string]string) []string {
	var paths []string
	for key, value := range wanted {
		if have, ok := live[key]; !ok || have != value {
			paths = append(paths, prefix+key)
		}
	}
	for key := range live {
		if _, ok := wanted[key]; !ok {
			paths = append(paths, prefix+key)
		}
	}
	return paths
}
