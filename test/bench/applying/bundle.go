package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/test/bench"
)

// maker renders bundles and keeps the state of a controller between two commits.
type maker struct {
	evaluator *evaluate.Evaluator
	renderer  *render.Renderer
	snapshot  *source.Snapshot
	basis     *evaluate.LastKnownGood
}

func newMaker() (*maker, error) {
	validator, err := istio.NewValidator()
	if err != nil {
		return nil, err
	}
	return &maker{evaluator: evaluate.New(evaluate.Limits{}, nil), renderer: render.New(validator, nil)}, nil
}

// bundle renders a generated mesh for one of its clusters.
func (m *maker) bundle(ctx context.Context, of size) (*render.Bundle, error) {
	dir, err := os.MkdirTemp("", "isthmus-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := (bench.Repository{Services: of.services, Clusters: clusters, Seed: seed}).Write(dir); err != nil {
		return nil, err
	}
	if m.snapshot, err = source.FromDir(ctx, dir, source.Limits{}); err != nil {
		return nil, err
	}
	result, err := m.evaluator.Evaluate(ctx, m.snapshot, evaluate.Options{Cluster: clusterName, CheckAll: true})
	if err != nil {
		return nil, err
	}
	m.basis = result.LastKnownGood
	view, err := mesh.NewView(result.Mesh, clusterName)
	if err != nil {
		return nil, err
	}
	bundle, err := m.renderer.Render(view, result, m.snapshot.Revision)
	if err != nil {
		return nil, err
	}
	if len(bundle.Resources) < of.objects {
		return nil, fmt.Errorf("a mesh of %d services has only %d objects in %s, but %d are needed", of.services, len(bundle.Resources), clusterName, of.objects)
	}
	return bundle, nil
}

// namespaces returns the namespaces of all objects of a bundle.
func namespaces(bundle *render.Bundle) []string {
	names := map[string]bool{}
	for _, resource := range bundle.Resources {
		names[resource.Key.Namespace] = true
	}
	return slices.Sorted(maps.Keys(names))
}

const virtualService = "VirtualService"

var virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}

// changed returns a bundle in which only the weights of the n-th VirtualService differ. After the
// last VirtualService the count starts again.
func changed(bundle *render.Bundle, n int) (*render.Bundle, *unstructured.Unstructured, error) {
	var routes []int
	for i, resource := range bundle.Resources {
		if resource.GVK.Kind == virtualService {
			routes = append(routes, i)
		}
	}
	if len(routes) == 0 {
		return nil, nil, errors.New("there is no VirtualService to change")
	}
	at := routes[n%len(routes)]
	object := bundle.Resources[at].Object()
	if !reweigh(object.Object["spec"], int64(1+n%29)) {
		return nil, nil, fmt.Errorf("%s has no weights", bundle.Resources[at].Key)
	}
	changed, err := render.NewResource(object)
	if err != nil {
		return nil, nil, err
	}
	next := *bundle
	next.Resources = slices.Clone(bundle.Resources)
	next.Resources[at] = changed
	return &next, object, nil
}

// reweigh moves weight between the first two destinations with weights.
func reweigh(value any, by int64) bool {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if reweigh(v[key], by) {
				return true
			}
		}
	case []any:
		if len(v) == 2 {
			a, _ := v[0].(map[string]any)
			b, _ := v[1].(map[string]any)
			x, isX := a["weight"].(int64)
			y, isY := b["weight"].(int64)
			if isX && isY {
				a["weight"], b["weight"] = by, x+y-by
				return x != by
			}
		}
		return slices.ContainsFunc(v, func(item any) bool { return reweigh(item, by) })
	}
	return false
}

// objects returns copies for the peer, which modifies its objects.
func objects(bundle *render.Bundle) []*unstructured.Unstructured {
	var copies []*unstructured.Unstructured
	for _, resource := range bundle.Resources {
		copies = append(copies, resource.Object())
	}
	return copies
}
