package demo

import (
	"context"
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// expectation is what `isthmus render` returns for one cluster.
type expectation struct {
	objects  objects
	services int
	mesh     *manifest.Mesh
}

// expect renders the work tree for each cluster, and returns the results by the names of the
// clusters.
func (d *demo) expect(ctx context.Context) (map[string]expectation, error) {
	snapshot, err := source.FromDir(ctx, d.repository.dir, source.Limits{})
	if err != nil {
		return nil, fmt.Errorf("reading the work tree: %w", err)
	}
	rendered := map[string]expectation{}
	for _, c := range d.clusters {
		result, err := d.evaluator.Evaluate(ctx, snapshot, evaluate.Options{Cluster: c.name})
		if err != nil {
			return nil, fmt.Errorf("rendering the work tree for cluster %s: %w", c.name, err)
		}
		view, err := mesh.NewView(result.Mesh, c.name)
		if err != nil {
			return nil, fmt.Errorf("rendering the work tree for cluster %s: %w", c.name, err)
		}
		bundle, err := render.Render(view, result, d.validator, "")
		if err != nil {
			return nil, fmt.Errorf("rendering the work tree for cluster %s: %w", c.name, err)
		}
		e := expectation{objects: objects{}, services: bundle.Services, mesh: result.Mesh}
		for _, r := range bundle.Resources {
			e.objects[r.Key.String()] = r.Object()
		}
		rendered[c.name] = e
	}
	return rendered, nil
}
