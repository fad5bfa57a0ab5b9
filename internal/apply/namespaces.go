package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// LabelCreatedBy marks a namespace that Isthmus created, with the value CreatedByIsthmus. It carries no
// ownership: a namespace is never changed nor deleted, since what people put into it is not ours to delete.
const (
	LabelCreatedBy   = "isthmus.dev/created-by"
	CreatedByIsthmus = "isthmus"
)

// Namespace is what a plan must know of a namespace that exists.
type Namespace struct {
	// CreatedByUs is set if Isthmus created it.
	CreatedByUs bool
	// Terminating namespaces take no new objects.
	Terminating bool
}

func namespaceOf(object *unstructured.Unstructured) Namespace {
	return Namespace{CreatedByUs: object.GetLabels()[LabelCreatedBy] == CreatedByIsthmus, Terminating: object.GetDeletionTimestamp() != nil}
}

var namespaceResource = corev1.SchemeGroupVersion.WithResource("namespaces")

// planNamespaces returns the namespaces that are needed and absent, and those that we once created for nothing
// that is in the bundle any more, nor in the cluster: what is withdrawn or held, or only about to go, may still be called. What carries a mark
// of ours and is not in the bundle is in the view of a part, too, since the last plan had an action for it.
func planNamespaces(bundle *render.Bundle, view View, owner Owner) (missing, unused []string) {
	needed := map[string]bool{}
	for _, name := range bundle.Namespaces {
		needed[name] = true
		if _, exists := view.Namespaces[name]; !exists {
			missing = append(missing, name)
		}
	}
	for _, object := range view.Objects {
		if owner.Possession(object) != Foreign {
			needed[object.GetNamespace()] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(view.Namespaces)) {
		namespace := view.Namespaces[name]
		if namespace.CreatedByUs && !namespace.Terminating && !needed[name] {
			unused = append(unused, name)
		}
	}
	// Those of gateways are no service's, and there are many resources.
	unused = slices.DeleteFunc(unused, func(name string) bool {
		return slices.ContainsFunc(bundle.Resources, func(resource render.Resource) bool { return resource.Key.Namespace == name })
	})
	slices.Sort(missing)
	return slices.Compact(missing), unused
}

func createNamespace(ctx context.Context, client dynamic.Interface, name string, labels map[string]string) error {
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(name)
	all := map[string]string{}
	maps.Copy(all, labels)
	all[LabelCreatedBy] = CreatedByIsthmus
	namespace.SetLabels(all)
	_, err := client.Resource(namespaceResource).Create(ctx, namespace, metav1.CreateOptions{FieldManager: FieldManager})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fmt.Errorf("create namespace %s: %w; what belongs into it was not applied", name, err)
}
