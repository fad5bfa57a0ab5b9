package meshsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// findLastKnownGood reads the last known good manifests from Git for a new process: those of
// status.lastKnownGoodRevision, and for services that were frozen then, those of the revisions in
// status.frozen.
func (r *Reconciler) findLastKnownGood(ctx context.Context, ms *v1alpha1.MeshSync) (*evaluate.LastKnownGood, error) {
	if ms.Status.LastKnownGoodRevision == "" {
		owned, err := r.cluster().Owns(ctx, ms)
		if err != nil {
			return nil, err
		}
		if owned {
			return nil, errors.New("this cluster has resources of the mesh, but status.lastKnownGoodRevision is empty")
		}
		// The cluster has no object of this mesh, so no broken service has an earlier state here.
		return &evaluate.LastKnownGood{}, nil
	}
	if unlisted := ms.Status.FrozenCount - int64(len(ms.Status.Frozen)); unlisted > 0 {
		return nil, fmt.Errorf("status.frozen does not list %d of the frozen services", unlisted)
	}
	// First the frozen services, then all others.
	frozen := &evaluate.LastKnownGood{}
	byRevision := map[string][]string{}
	for _, f := range ms.Status.Frozen {
		byRevision[f.Revision] = append(byRevision[f.Revision], f.Service)
	}
	leftOut := byRevision[""]
	delete(byRevision, "")
	for revision, services := range byRevision {
		snapshot, err := r.commit(ctx, ms, revision)
		if err != nil {
			return nil, err
		}
		then, err := r.renderer.Manifests(ctx, snapshot, ms.Spec.Cluster)
		if err != nil {
			return nil, fmt.Errorf("the applied revision %s can no longer be evaluated: %w", revision, err)
		}
		for _, name := range services {
			if !slices.Contains(then.Services(), name) {
				return nil, fmt.Errorf("revision %[2]s no longer has a good manifest of service %[1]s", name, revision)
			}
		}
		frozen = frozen.With(then, services...)
	}
	snapshot, err := r.commit(ctx, ms, ms.Status.LastKnownGoodRevision)
	if err != nil {
		return nil, err
	}
	_, good, err := r.renderer.Render(ctx, syncrun.RenderRequest{Snapshot: snapshot, Cluster: ms.Spec.Cluster, Basis: frozen, LeftOut: leftOut})
	if err == nil && good == nil {
		err = errors.New("the repository is evaluated in one piece, so its services cannot be evaluated separately")
	}
	if err != nil {
		return nil, fmt.Errorf("the applied revision %s can no longer be evaluated: %w", ms.Status.LastKnownGoodRevision, err)
	}
	return good, nil
}

// commit fetches the commit of a revision.
func (r *Reconciler) commit(ctx context.Context, ms *v1alpha1.MeshSync, revision string) (*source.Snapshot, error) {
	_, hash, ok := strings.Cut(revision, "sha1:")
	if !ok {
		return nil, fmt.Errorf("revision %q has no commit hash", revision)
	}
	snapshot, err := r.fetcher.FetchCommit(ctx, ms, hash)
	if err != nil {
		return nil, err
	}
	named := *snapshot
	named.Revision = revision
	return &named, nil
}
