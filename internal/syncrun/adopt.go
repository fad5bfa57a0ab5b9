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

// adoptable are the objects of somebody else that the bundle has as well and that spec.adopt chooses. A view has only their keys, so they are read, once
// for each version; what a run finds out is kept for the next one.
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
	fresh, chosen := ReadObjects{}, map[render.Key]*unstructured.Unstructured{}
	for _, resource := range bundle.Resources {
		object := foreign[resource.Key]
		named := slices.Contains(adopt.Names, resource.Key.String())
		if object == nil || !named && adopt.Selector == nil {
			continue
		}
		whole := (*read)[resource.Key]
		if whole == nil || whole.GetUID() != object.GetUID() || whole.GetResourceVersion() != object.GetResourceVersion() {
			if whole, err = c.Objects.GetFull(ctx, object); err != nil {
				// It is refused like any other of somebody else, and read again in the next run.
				log.FromContext(ctx).Error(client.IgnoreNotFound(err), "cannot read an object that spec.adopt may select", "object", resource.Key.String())
				continue
			}
		}
		fresh[resource.Key] = whole
		if named || selector.Matches(labels.Set(whole.GetLabels())) {
			chosen[resource.Key] = whole
		}
	}
	*read = fresh
	return chosen, nil
}

// adopts tells whether what spec.adopt chooses is taken over, or only told of.
func adopts(ms *v1alpha1.MeshSync) bool {
	return ms.Spec.Adopt != nil && ms.Spec.Adopt.Mode == v1alpha1.ModeApply
}
