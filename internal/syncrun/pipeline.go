package syncrun

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Phases of a run that a pipeline measures.
const (
	phaseEvaluate = "evaluate"
	phaseRender   = "render"
)

// Pipeline evaluates and renders. The controller and the command line use the same calls.
type Pipeline struct {
	Evaluator *evaluate.Evaluator
	Renderer  *render.Renderer
	// Timed, if not nil, starts the measurement of a phase and returns the function that ends it.
	Timed func(phase string) (done func())
}

// maxRejections is the maximum number of attempts to render without rejected services.
const maxRejections = 5

// Render returns the bundle and the last known good manifests for the next commit. Services whose
// resources Istio rejects are frozen or left out. The error is [manifest.Findings] for errors in
// the commit, [UnknownClusterError] if the inventory lacks the cluster.
func (p Pipeline) Render(ctx context.Context, request RenderRequest) (*render.Bundle, *evaluate.LastKnownGood, error) {
	// Without a basis no service is known to be unchanged, so all services are checked.
	options := evaluate.Options{Cluster: request.Cluster, LastKnownGood: request.Basis, CheckAll: request.Basis == nil}
	for _, name := range request.LeftOut {
		if options.Refused == nil {
			options.Refused = map[string]manifest.Findings{}
		}
		options.Refused[name] = manifest.Findings{{Service: name, Message: "the service was left out before"}}
	}
	for range maxRejections {
		bundle, basis, err := p.renderOnce(ctx, request, options)
		rejected := findingsByService(err)
		if request.Halt || len(rejected) == 0 {
			if err == nil {
				basis = rememberUnrenderable(bundle, basis, request.Basis)
			}
			return bundle, basis, asUnknownCluster(err)
		}
		if options.Refused == nil {
			options.Refused = map[string]manifest.Findings{}
		}
		for service, findings := range rejected {
			if _, again := options.Refused[service]; again {
				if options.LastKnownGood == nil || !slices.Contains(options.LastKnownGood.Services(), service) {
					return nil, nil, err
				}
				// The last known good manifest is rejected too: leave the service out and keep its
				// objects.
				options.LastKnownGood = options.LastKnownGood.With(nil, service)
				options.Unknown = append(options.Unknown, service)
			}
			options.Refused[service] = findings
		}
	}
	return nil, nil, fmt.Errorf("services of revision %s are still rejected by Istio after %d attempts to leave out the rejected ones", request.Snapshot.Revision, maxRejections)
}

// rememberUnrenderable keeps the last known good manifest of services that could not be rendered
// now, because a later run may accept it.
func rememberUnrenderable(bundle *render.Bundle, basis, before *evaluate.LastKnownGood) *evaluate.LastKnownGood {
	if before == nil || basis == nil || len(bundle.Lost) == 0 {
		return basis
	}
	for i, f := range bundle.Frozen {
		if slices.Contains(bundle.Lost, f.Service) {
			bundle.Frozen[i].Revision = before.Revision(f.Service)
		}
	}
	return basis.With(before, bundle.Lost...)
}

func (p Pipeline) renderOnce(ctx context.Context, request RenderRequest, options evaluate.Options) (*render.Bundle, *evaluate.LastKnownGood, error) {
	done := p.measure(phaseEvaluate)
	result, err := p.evaluate(ctx, request, options)
	done()
	if err != nil {
		return nil, nil, err
	}
	defer p.measure(phaseRender)()
	view, err := mesh.NewView(result.Mesh, request.Cluster)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := p.Renderer.Render(view, result, request.Snapshot.Revision)
	if err != nil {
		return nil, nil, &rejectedError{err}
	}
	return bundle, result.LastKnownGood, nil
}

// measure starts the measurement of a phase.
func (p Pipeline) measure(phase string) (done func()) {
	if p.Timed == nil {
		return func() {}
	}
	return p.Timed(phase)
}

func (p Pipeline) evaluate(ctx context.Context, request RenderRequest, options evaluate.Options) (*evaluate.Result, error) {
	if request.Halt {
		return p.Evaluator.Evaluate(ctx, request.Snapshot, options)
	}
	return p.Evaluator.Partial(ctx, request.Snapshot, options)
}

// Manifests returns the manifests of the good services of a commit.
func (p Pipeline) Manifests(ctx context.Context, snapshot *source.Snapshot, cluster string) (*evaluate.LastKnownGood, error) {
	return p.Evaluator.Manifests(ctx, snapshot, cluster)
}

// rejectedError wraps the findings of resources that Istio rejects.
type rejectedError struct{ error }

// Unwrap returns the findings.
func (e *rejectedError) Unwrap() error { return e.error }

// findingsByService groups the findings of rejected resources by service. It returns nil if a
// finding has no service.
func findingsByService(err error) map[string]manifest.Findings {
	var rejected *rejectedError
	var findings manifest.Findings
	if !errors.As(err, &rejected) || !errors.As(err, &findings) {
		return nil
	}
	byService := map[string]manifest.Findings{}
	for _, f := range findings {
		if f.Service == "" {
			return nil
		}
		byService[f.Service] = append(byService[f.Service], f)
	}
	return byService
}

// UnknownClusterError is the error of a cluster that is not in the inventory. The cluster may not
// belong to the mesh, so not even drift is corrected.
type UnknownClusterError struct{ error }

// Unwrap returns the findings.
func (e *UnknownClusterError) Unwrap() error { return e.error }

// asUnknownCluster returns an UnknownClusterError if the findings say that the cluster is not in
// the inventory.
func asUnknownCluster(err error) error {
	var findings manifest.Findings
	if errors.As(err, &findings) && findings.Has(manifest.UnknownCluster) {
		return &UnknownClusterError{err}
	}
	return err
}

// RenderRequest is the input of [Pipeline.Render].
type RenderRequest struct {
	Snapshot *source.Snapshot
	Cluster  string
	// Basis has the last known good manifests for broken services, nil if unknown.
	Basis *evaluate.LastKnownGood
	// LeftOut are services that are not rendered.
	LeftOut []string
	// Halt makes every finding an error.
	Halt bool
}
