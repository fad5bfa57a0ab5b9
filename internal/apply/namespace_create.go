package apply

import (
	"context"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

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
