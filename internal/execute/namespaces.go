package execute

import (
	"context"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

func createNamespace(ctx context.Context, client dynamic.Interface, name string, labels map[string]string) error {
	namespace := &unstructured.Unstructured{}
	namespace.SetAPIVersion("v1")
	namespace.SetKind("Namespace")
	namespace.SetName(name)
	all := map[string]string{}
	maps.Copy(all, labels)
	all[clustercache.LabelCreatedBy] = clustercache.CreatedByIsthmus
	namespace.SetLabels(all)
	_, err := client.Resource(clustercache.NamespaceResource).Create(ctx, namespace, metav1.CreateOptions{FieldManager: ownership.FieldManager})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fmt.Errorf("create namespace %s: %w; what belongs into it was not applied", name, err)
}
