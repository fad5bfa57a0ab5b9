package merge

import (
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
)

// differences returns the sorted paths in which a live object is not what it shall be: the whole spec,
// exactly, but for what the API server allots; our labels and annotations, and those that were ours and left the bundle; not the status, and not
// what others put into the metadata. The desired object is compared as it is, so it must have gone through the
// CRD's defaulting.
func Differences(desired, live *unstructured.Unstructured, id string) []string {
	var paths []string
	compareValues("spec", desired.Object["spec"], SpecWithoutServerFields(live), &paths)

	labels, annotations := desiredMetadata(desired, live, id)
	paths = append(paths, compareStrings("metadata.labels.", labels, live.GetLabels())...)
	paths = append(paths, compareStrings("metadata.annotations.", annotations, live.GetAnnotations())...)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// update returns what is to be PUT: the desired content in the identity of the live object, with what the API server
// allotted to it and what others put into its metadata. It carries no managedFields, which tells the API server to keep its own.
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

// create returns what is to be POSTed.
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

// wantedMetadata is what the live object has, without what was ours, with what is ours now.
func desiredMetadata(desired, live *unstructured.Unstructured, id string) (labels, annotations map[string]string) {
	ourLabels, ourAnnotations := ownership.OwnedMetadata(live)
	labels = overlay(live.GetLabels(), ourLabels, desired.GetLabels())
	labels[ownership.LabelPartOf] = id
	// Whoever wrote it, it means something to us.
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

// compareValues descends as deep as both sides have the same shape, so that a path says where to look.
func compareValues(path string, desired, live any, paths *[]string) {
	switch want := desired.(type) {
	case map[string]any:
		have, ok := live.(map[string]any)
		if !ok {
			*paths = append(*paths, path)
			return
		}
		for key, value := range want {
			other, ok := have[key]
			if !ok {
				*paths = append(*paths, path+"."+key)
				continue
			}
			compareValues(path+"."+key, value, other, paths)
		}
		for key := range have {
			if _, ok := want[key]; !ok {
				*paths = append(*paths, path+"."+key)
			}
		}
	case []any:
		have, ok := live.([]any)
		if !ok || len(have) != len(want) {
			*paths = append(*paths, path)
			return
		}
		for i := range want {
			at := path
			if _, ok := want[i].(map[string]any); ok {
				at = fmt.Sprintf("%s[%d]", path, i)
			}
			compareValues(at, want[i], have[i], paths)
		}
	default:
		if !equalScalars(desired, live) {
			*paths = append(*paths, path)
		}
	}
}

// The same number is an int64 on one way through JSON or CUE and a float64 on another.
func equalScalars(a, b any) bool {
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	x, xExact := nested.Integer(a)
	y, yExact := nested.Integer(b)
	if xExact && yExact {
		return x == y
	}
	return a == b
}
