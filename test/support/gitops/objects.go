package gitops

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// The ownership marks of an object, as KEP-3659 and the documentation define them. They are not
// imported from the code under test.
const (
	PartOfLabel  = "applyset.kubernetes.io/part-of"
	FieldManager = "isthmus-controller"
)

// Key is "Kind/namespace/name", the key of a resource in the output of cue export.
func Key(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// Version changes with every write to an object and with its re-creation.
func Version(object *unstructured.Unstructured) string {
	return string(object.GetUID()) + " " + object.GetResourceVersion()
}

// Managed reports whether the field manager of Isthmus wrote an object.
func Managed(object *unstructured.Unstructured) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool { return entry.Manager == FieldManager })
}

// HostsOf returns spec.hosts of a ServiceEntry, nil for other kinds.
func HostsOf(object *unstructured.Unstructured) []string {
	if object.GetKind() != "ServiceEntry" {
		return nil
	}
	hosts, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts")
	return hosts
}

// List returns all objects of the managed kinds by [Key], whoever created them, without the Service
// that the API server creates itself. A kind whose list fails is left out if ignore accepts the
// error.
func List(ctx context.Context, reader client.Reader, ignore func(error) bool) (map[string]*unstructured.Unstructured, error) {
	out := map[string]*unstructured.Unstructured{}
	for _, kind := range istio.Kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersionKind)
		if err := reader.List(ctx, list); err != nil {
			if ignore != nil && ignore(err) {
				continue
			}
			return nil, err
		}
		for i := range list.Items {
			out[Key(&list.Items[i])] = &list.Items[i]
		}
	}
	delete(out, "Service/default/kubernetes")
	return out, nil
}

// Content is the part of an object that the repository defines, without ownership marks.
type Content struct {
	APIVersion  string
	Labels      map[string]string
	Annotations map[string]string
	Spec        any
}

// ContentOf returns the content of an object without the named labels and annotations.
func ContentOf(object *unstructured.Unstructured, without ...string) Content {
	c := Content{APIVersion: object.GetAPIVersion(), Labels: map[string]string{}, Annotations: map[string]string{}}
	maps.Copy(c.Labels, object.GetLabels())
	maps.Copy(c.Annotations, object.GetAnnotations())
	delete(c.Labels, PartOfLabel)
	for _, name := range without {
		delete(c.Labels, name)
		delete(c.Annotations, name)
	}
	spec := object.Object["spec"]
	if object.GetKind() == "Service" {
		// The API server adds addresses and defaults. Ports and selector are compared.
		var service corev1.ServiceSpec
		_ = runtime.DefaultUnstructuredConverter.FromUnstructured(spec.(map[string]any), &service)
		ports := map[string]int32{}
		for _, port := range service.Ports {
			ports[port.Name] = port.Port
		}
		spec = map[string]any{"ports": ports, "selector": service.Selector}
	}
	// JSON gives numbers one type, whichever decoder read them.
	text, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(text, &c.Spec)
	}
	if err != nil {
		c.Spec = err.Error()
	}
	return c
}

// Contents returns [ContentOf] all objects by key.
func Contents(objects map[string]*unstructured.Unstructured) map[string]Content {
	out := map[string]Content{}
	for key, object := range objects {
		out[key] = ContentOf(object)
	}
	return out
}
