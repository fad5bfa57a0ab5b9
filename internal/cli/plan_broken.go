package cli

import (
	"context"
	"fmt"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// bundle renders what the controller would render. If services are broken, it renders the rest of the
// commit, unless spec.onError is Halt.
func (p *planning) bundle(ctx context.Context, ms *v1alpha1.MeshSync, shown *progress) (*evaluate.Result, *render.Bundle, error) {
	result, bundle, err := p.render(ctx, shown)
	if _, broken := asFindings(err); !broken || p.repo.snapshot == nil || ms.Spec.OnError == v1alpha1.OnErrorHalt {
		return result, bundle, err
	}
	shown.step("rendering the rest for cluster %s", p.cluster)
	result, bundle, restErr := p.repo.rest(ctx, p.cluster)
	if restErr != nil {
		return nil, nil, err
	}
	return result, bundle, nil
}

// checkService returns a usage error if --service is unknown. A broken service is known.
func (p *planning) checkService(result *evaluate.Result) error {
	if p.service == "" || result.Broken[p.service] != nil {
		return nil
	}
	return hasCallable(result.Mesh, p.service)
}

// rest renders the services of a cluster that are not broken.
func (r *repository) rest(ctx context.Context, cluster string) (result *evaluate.Result, bundle *render.Bundle, err error) {
	if err := r.prepareRendering(); err != nil {
		return nil, nil, err
	}
	err = r.inTime(ctx, func(ctx context.Context) error {
		if bundle, err = syncrun.RenderBroken(ctx, r.evaluator, r.renderer, r.snapshot, cluster); err != nil {
			return err
		}
		result, err = r.evaluator.Partial(ctx, r.snapshot, evaluate.Options{Cluster: cluster})
		return err
	})
	return result, bundle, err
}

// withoutBroken says what the plan does with broken services.
func (p planned) withoutBroken() string {
	if p.AdditiveOnly == nil {
		return "the rest was planned"
	}
	return fmt.Sprintf("the rest was planned without deletions and removals: %s. "+
		"The controller removes more if it finds the last known good manifests in Git", p.AdditiveOnly)
}
