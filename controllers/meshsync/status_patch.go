package meshsync

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// patcher writes the changes of a run to its MeshSync. Unlike the patch helper of Flux it writes
// the status in one request, so that a reader never sees the condition Ready of one run with the
// revision, counts or errors of another.
type patcher struct {
	client client.Client
	before *v1alpha1.MeshSync
	// version is the resourceVersion after the last write.
	version string
}

// newPatcher must be called before ms is changed.
func newPatcher(c client.Client, ms *v1alpha1.MeshSync) *patcher {
	return &patcher{client: c, before: ms.DeepCopy(), version: ms.ResourceVersion}
}

// status writes the status if it differs from the last read or written one. Only the status of the
// response is copied to ms: a newer spec or annotation is for the next run.
func (p *patcher) status(ctx context.Context, ms *v1alpha1.MeshSync) error {
	if equality.Semantic.DeepEqual(p.before.Status, ms.Status) {
		return nil
	}
	response := ms.DeepCopy()
	if err := p.client.Status().Patch(ctx, response, client.MergeFrom(p.before), client.FieldOwner(ownership.FieldManager)); err != nil {
		return err
	}
	ms.Status = response.Status
	p.before, p.version = ms.DeepCopy(), response.ResourceVersion
	return nil
}

// metadata writes finalizers, labels and annotations. It fails with a conflict after a write of
// another client, whose finalizer could be lost otherwise.
func (p *patcher) metadata(ctx context.Context, ms *v1alpha1.MeshSync) error {
	lock := client.MergeFromWithOptions(p.before, client.MergeFromWithOptimisticLock{})
	if err := p.client.Patch(ctx, ms, lock, client.FieldOwner(ownership.FieldManager)); err != nil {
		return err
	}
	p.before, p.version = ms.DeepCopy(), ms.ResourceVersion
	return nil
}

const (
	// staleWait is the wait before the next run if the cache does not have our last write yet.
	staleWait = 20 * time.Millisecond
	// maxStaleness limits the wait for the cache, because drift must not wait longer.
	maxStaleness = 5 * time.Second
)

// written identifies our last write of a MeshSync.
type written struct {
	version string
	at      time.Time
}

// stale reports whether ms is older than our last write. A run with a stale MeshSync would revert
// or repeat the results of the last run.
func (w written) stale(ms *v1alpha1.MeshSync, now time.Time) bool {
	if w.version == "" || now.Sub(w.at) > maxStaleness {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(ms.ResourceVersion, w.version)
	return err == nil && order < 0
}
