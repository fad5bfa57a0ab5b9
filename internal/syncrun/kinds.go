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

// unavailableError is a kind that the bundle has and that cannot be managed here, so nothing of the bundle is applied.
type UnavailableError struct{ Err error }

// Error says which kind.
func (e *UnavailableError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// unavailable classifies what keeps the cluster from being looked at.
func classifyRead(err error) error {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return &UnavailableError{err}
	}
	return err
}

// manages refuses a bundle with a kind that this controller was told not to manage: nothing would see it drift.
func (c Cluster) manages(bundle *render.Bundle) error {
	var last schema.GroupVersionKind // they are sorted by kind
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

// has refuses a cluster that lacks a kind which the bundle has: half of a mesh is worse than the old one.
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
