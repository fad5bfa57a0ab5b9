package syncrun

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// UnavailableError is the error of a kind that the bundle has and that cannot be managed in this
// cluster. Nothing of the bundle is applied.
type UnavailableError struct{ Err error }

// Error names the kind.
func (e *UnavailableError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// classifyRead makes an [UnavailableError] of missing read permissions.
func classifyRead(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return &UnavailableError{err}
	}
	return err
}

// manages returns an error if the bundle has a kind that this controller does not manage, because
// its drift would not be detected.
func (c Cluster) manages(bundle *render.Bundle) error {
	var last schema.GroupVersionKind // resources are sorted by kind
	for _, resource := range bundle.Resources {
		if resource.GVK == last || slices.ContainsFunc(c.Kinds, func(kind istio.Kind) bool { return kind.GroupVersionKind == resource.GVK }) {
			last = resource.GVK
			continue
		}
		return &UnavailableError{fmt.Errorf("service %q needs %s, but --kinds of this controller does not list %s; add it to --kinds and to the controller's role",
			resource.Service, resource.Key, resource.Key.Kind)}
	}
	return nil
}

// requireKinds returns an error if the cluster lacks a kind of the bundle. The old mesh is better
// than half of the new one.
func requireKinds(view clustercache.State, bundle *render.Bundle) error {
	var missing []string
	for _, kind := range view.Missing {
		if slices.ContainsFunc(bundle.Resources, func(resource render.Resource) bool { return resource.GVK == kind.GroupVersionKind }) {
			missing = append(missing, kind.Resource+"."+kind.Group)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &UnavailableError{fmt.Errorf("this cluster lacks the needed version of %s; install the CRDs of Istio 1.30.4 or newer", strings.Join(missing, ", "))}
}
