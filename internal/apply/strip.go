package apply

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// strip keeps of an object what a plan needs, before it enters the cache. Of a foreign one that is its
// key and labels; of one with a mark all but the status and the managedFields of others. It does not change its
// argument's parts in place that somebody else could hold, and stripping twice is stripping once.
func strip(in any) (any, error) {
	object, ok := in.(*unstructured.Unstructured)
	if !ok {
		// A tombstone, which holds an object that was stripped before.
		return in, nil
	}
	if object.GroupVersionKind().Group == "" {
		return stripNamespace(object), nil
	}
	if !marked(object) {
		return stripForeign(object), nil
	}
	return stripMarked(object), nil
}

var _ cache.TransformFunc = strip

func stripNamespace(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := identity(object)
	out.SetLabels(only(object.GetLabels(), LabelCreatedBy))
	out.SetDeletionTimestamp(object.GetDeletionTimestamp())
	return out
}

func stripForeign(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := identity(object)
	out.SetLabels(only(object.GetLabels(), render.LabelService, render.LabelSide))
	return out
}

func stripMarked(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: make(map[string]any, len(object.Object))}
	for key, value := range object.Object {
		if key != "status" {
			out.Object[key] = value
		}
	}
	// The metadata is changed below, so it must not be shared.
	if metadata, ok := object.Object["metadata"].(map[string]any); ok {
		own := make(map[string]any, len(metadata))
		for key, value := range metadata {
			own[key] = value
		}
		out.Object["metadata"] = own
	}
	out.SetManagedFields(stripManagedFields(object))
	return out
}

// stripManagedFields leaves one entry, of ours, with the labels and annotations that we set.
func stripManagedFields(object *unstructured.Unstructured) []metav1.ManagedFieldsEntry {
	if !writtenByUs(object) {
		return nil
	}
	labels, annotations := writtenMetadata(object)
	var fields managedMetadata
	for label := range labels {
		if fields.Metadata.Labels == nil {
			fields.Metadata.Labels = map[string]struct{}{}
		}
		fields.Metadata.Labels["f:"+label] = struct{}{}
	}
	for annotation := range annotations {
		if fields.Metadata.Annotations == nil {
			fields.Metadata.Annotations = map[string]struct{}{}
		}
		fields.Metadata.Annotations["f:"+annotation] = struct{}{}
	}
	entry := metav1.ManagedFieldsEntry{Manager: FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1"}
	// Maps of strings can always be marshalled.
	if raw, err := json.Marshal(fields); err == nil {
		entry.FieldsV1 = &metav1.FieldsV1{Raw: raw}
	}
	return []metav1.ManagedFieldsEntry{entry}
}

func identity(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{}}
	out.SetAPIVersion(object.GetAPIVersion())
	out.SetKind(object.GetKind())
	out.SetNamespace(object.GetNamespace())
	out.SetName(object.GetName())
	out.SetUID(object.GetUID())
	out.SetResourceVersion(object.GetResourceVersion())
	return out
}

func only(labels map[string]string, names ...string) map[string]string {
	var out map[string]string
	for _, name := range names {
		if value, ok := labels[name]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = value
		}
	}
	return out
}
