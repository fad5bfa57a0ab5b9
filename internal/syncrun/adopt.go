package syncrun

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// adoptable returns the foreign objects that spec.adopt selects and that the bundle has too. The
// cache has only the metadata of foreign objects, so each version is read once; read keeps them for
// the next run.
func (c Cluster) adoptable(
	ctx context.Context, ms *v1alpha1.MeshSync, read *ReadObjects, bundle *render.Bundle, view clustercache.State, owner ownership.Owner,
) (map[render.Key]*unstructured.Unstructured, error) {
	adopt := ms.Spec.Adopt
	if adopt == nil {
		*read = nil
		return nil, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(adopt.Selector)
	if err != nil {
		return nil, fmt.Errorf("spec.adopt.selector: %w", err)
	}
	foreign := map[render.Key]*unstructured.Unstructured{}
	for _, object := range view.Objects {
		if owner.Ownership(object) == ownership.Foreign {
			foreign[render.Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}] = object
		}
	}
	current, selected := ReadObjects{}, map[render.Key]*unstructured.Unstructured{}
	for _, resource := range bundle.Resources {
		object := foreign[resource.Key]
		named := slices.Contains(adopt.Names, resource.Key.String())
		if object == nil || !named && adopt.Selector == nil {
			continue
		}
		full := (*read)[resource.Key]
		if full == nil || full.GetUID() != object.GetUID() || full.GetResourceVersion() != object.GetResourceVersion() {
			if full, err = c.Objects.GetFull(ctx, object); err != nil {
				// The resource is refused like that of any other owner; the next run reads it
				// again.
				log.FromContext(ctx).Error(client.IgnoreNotFound(err), "cannot read an object that spec.adopt may select", "object", resource.Key.String())
				continue
			}
		}
		current[resource.Key] = full
		if named || selector.Matches(labels.Set(full.GetLabels())) {
			selected[resource.Key] = full
		}
	}
	*read = current
	return selected, nil
}

// adopts reports whether selected objects are adopted or only listed.
func adopts(ms *v1alpha1.MeshSync) bool {
	return ms.Spec.Adopt != nil && ms.Spec.Adopt.Mode == v1alpha1.ModeApply
}
