package meshsync

import (
	"context"
	"errors"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// pipeline is the Renderer of the real thing: evaluate, view, render, the same calls as the command line's.
type pipeline struct {
	validator *istio.Validator
	metrics   *Metrics
	limits    evaluate.Limits
}

// Render implements Renderer.
func (p pipeline) Render(ctx context.Context, snapshot *source.Snapshot, cluster string) (*render.Bundle, error) {
	evaluated := p.metrics.timed(phaseEvaluate)
	result, err := evaluate.Evaluate(ctx, snapshot, evaluate.Options{Cluster: cluster, Limits: p.limits})
	evaluated()
	if err != nil {
		return nil, lacking(cluster, err)
	}
	defer p.metrics.timed(phaseRender)()
	view, err := mesh.NewView(result.Mesh, cluster)
	if err != nil {
		return nil, lacking(cluster, err)
	}
	return render.Render(view, result, p.validator, snapshot.Revision)
}

// UnknownClusterError is a cluster that is not in the inventory. Unlike other findings it says that this
// cluster may be none of the mesh's business, so that not even drift is put right.
type UnknownClusterError struct{ error }

// Unwrap gives the findings.
func (e *UnknownClusterError) Unwrap() error { return e.error }

// lacking tells the finding that a cluster is not in the inventory from all others. It is named by the path of the
// cluster in the CUE module as well as in mesh.NewView.
func lacking(cluster string, err error) error {
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		return err
	}
	for _, finding := range findings {
		if finding.Path == "clusters."+cluster && strings.Contains(finding.Message, "is not in the inventory") {
			return &UnknownClusterError{err}
		}
	}
	return err
}
