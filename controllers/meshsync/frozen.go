package meshsync

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// lastGood finds out, for a new process, how services were before they broke: as the commit that was applied last has them, and those
// that were frozen by then as the commits have them that the status names.
func (r *Reconciler) lastGood(ctx context.Context, ms *v1alpha1.MeshSync) (*evaluate.Basis, error) {
	if ms.Status.LastAppliedRevision == "" {
		// Nothing of this mesh is here, so nothing stems from what is broken.
		return &evaluate.Basis{}, nil
	}
	if unlisted := ms.Status.FrozenCount - int64(len(ms.Status.Frozen)); unlisted > 0 {
		return nil, fmt.Errorf("%d more services were frozen than the status could list", unlisted)
	}
	good, err := r.basisOf(ctx, ms, ms.Status.LastAppliedRevision)
	if err != nil {
		return nil, err
	}
	byRevision := map[string][]string{}
	for _, f := range ms.Status.Frozen {
		byRevision[f.Revision] = append(byRevision[f.Revision], f.Service)
	}
	for revision, services := range byRevision {
		then, err := r.basisOf(ctx, ms, revision)
		if err != nil {
			return nil, err
		}
		for _, name := range services {
			if !slices.Contains(then.Services(), name) {
				return nil, fmt.Errorf("service %s is not what it was in revision %s", name, revision)
			}
		}
		good = good.With(then, services...)
	}
	return good, nil
}

// basisOf fetches a commit and evaluates the manifests in it.
func (r *Reconciler) basisOf(ctx context.Context, ms *v1alpha1.MeshSync, revision string) (*evaluate.Basis, error) {
	_, commit, ok := strings.Cut(revision, "sha1:")
	if !ok {
		return nil, fmt.Errorf("revision %q names no commit", revision)
	}
	snapshot, err := r.fetcher.FetchCommit(ctx, ms, commit)
	if err != nil {
		return nil, err
	}
	named := *snapshot
	named.Revision = revision
	good, err := r.renderer.Basis(ctx, &named, ms.Spec.Cluster)
	if err != nil {
		return nil, fmt.Errorf("revision %s, which was applied before, cannot be evaluated any more: %w", revision, err)
	}
	return good, nil
}

// keeping is why nothing may be taken away, "" if it may.
func keeping(bundle *render.Bundle) string {
	if len(bundle.Lost) == 0 {
		return ""
	}
	return "it may stem from what is broken in the repository, and how that was before is not known: " + few(bundle.Lost)
}

// few are the first of several names.
func few(names []string) string {
	const enough = 5
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
}
