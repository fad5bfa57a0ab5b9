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

// pipeline is the Renderer of the real thing: evaluate, view, render, the same calls as the command line's.
type Pipeline struct {
	Evaluator *evaluate.Evaluator
	Renderer  *render.Renderer
	// timed, if not nil, starts to measure a phase and returns what ends it.
	Timed func(phase string) (done func())
}

// mostRefusals is how often services may be frozen because what they render is refused.
const mostRefusals = 5

// Render implements Renderer.
func (p Pipeline) Render(ctx context.Context, request RenderRequest) (*render.Bundle, *evaluate.LastKnownGood, error) {
	// Without a basis nothing is known to be as it was, so everything is looked at.
	options := evaluate.Options{Cluster: request.Cluster, LastKnownGood: request.Basis, CheckAll: request.Basis == nil}
	for _, name := range request.LeftOut {
		if options.Refused == nil {
			options.Refused = map[string]manifest.Findings{}
		}
		options.Refused[name] = manifest.Findings{{Service: name, Message: "the service was left out before"}}
	}
	for range mostRefusals {
		bundle, basis, err := p.renderOnce(ctx, request, options)
		refused := findingsByService(err)
		if request.Halt || len(refused) == 0 {
			if err == nil {
				basis = rememberUnrenderable(bundle, basis, request.Basis)
			}
			return bundle, basis, asUnknownCluster(err)
		}
		if options.Refused == nil {
			options.Refused = map[string]manifest.Findings{}
		}
		for service, findings := range refused {
			if _, again := options.Refused[service]; again {
				if options.LastKnownGood == nil || !slices.Contains(options.LastKnownGood.Services(), service) {
					return nil, nil, err
				}
				// Not even what was good is accepted: it is left out, and what may be here of it stays.
				options.LastKnownGood = options.LastKnownGood.With(nil, service)
				options.Unknown = append(options.Unknown, service)
			}
			options.Refused[service] = findings
		}
	}
	return nil, nil, fmt.Errorf("Istio still rejects services of revision %s after %d attempts to leave out the rejected ones", request.Snapshot.Revision, mostRefusals)
}

// remembering keeps what is known of services that not even as they were could be rendered: what they were may be accepted again.
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

// measure starts to measure a phase.
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

// Manifests implements Renderer.
func (p Pipeline) Manifests(ctx context.Context, snapshot *source.Snapshot, cluster string) (*evaluate.LastKnownGood, error) {
	return p.Evaluator.Manifests(ctx, snapshot, cluster)
}

// refusedError is what Istio would not accept of what was rendered.
type rejectedError struct{ error }

// Unwrap gives the findings.
func (e *rejectedError) Unwrap() error { return e.error }

// byService are the findings of refused resources by service; nil if not all are some service's.
func findingsByService(err error) map[string]manifest.Findings {
	var refused *rejectedError
	var findings manifest.Findings
	if !errors.As(err, &refused) || !errors.As(err, &findings) {
		return nil
	}
	of := map[string]manifest.Findings{}
	for _, f := range findings {
		if f.Service == "" {
			return nil
		}
		of[f.Service] = append(of[f.Service], f)
	}
	return of
}

// UnknownClusterError is a cluster that is not in the inventory. Unlike other findings it says that this
// cluster may be none of the mesh's business, so that not even drift is put right.
type UnknownClusterError struct{ error }

// Unwrap gives the findings.
func (e *UnknownClusterError) Unwrap() error { return e.error }

// asUnknownCluster returns an UnknownClusterError if the findings say that the cluster is not in the
// inventory.
func asUnknownCluster(err error) error {
	var findings manifest.Findings
	if errors.As(err, &findings) && findings.Has(manifest.UnknownCluster) {
		return &UnknownClusterError{err}
	}
	return err
}

// RenderRequest says what to render.
type RenderRequest struct {
	Snapshot *source.Snapshot
	Cluster  string
	// Basis is what broken services are kept at, nil if it is not known.
	Basis *evaluate.LastKnownGood
	// LeftOut are services that are not to be rendered.
	LeftOut []string
	// Halt makes every finding an error.
	Halt bool
}
