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

// patcher writes what a run changed of its MeshSync. Unlike the patch helper of Flux it writes the status in one
// request: nobody may read a Ready condition of one run beside the revision, the counts or the errors of another.
type patcher struct {
	client client.Client
	before *v1alpha1.MeshSync
	// version is what the API server answered to the last write.
	version string
}

// newPatcher must be called before anything of ms is changed.
func newPatcher(c client.Client, ms *v1alpha1.MeshSync) *patcher {
	return &patcher{client: c, before: ms.DeepCopy(), version: ms.ResourceVersion}
}

// status writes the status if it differs from what was last read or written. Of the answer ms gets nothing else: a spec or an annotation that
// is newer than the run is not what the run worked by, and is for the next one.
func (p *patcher) status(ctx context.Context, ms *v1alpha1.MeshSync) error {
	if equality.Semantic.DeepEqual(p.before.Status, ms.Status) {
		return nil
	}
	answer := ms.DeepCopy()
	if err := p.client.Status().Patch(ctx, answer, client.MergeFrom(p.before), client.FieldOwner(ownership.FieldManager)); err != nil {
		return err
	}
	ms.Status = answer.Status
	p.before, p.version = ms.DeepCopy(), answer.ResourceVersion
	return nil
}

// metadata writes finalizers, labels and annotations. It fails if somebody else wrote meanwhile, whose finalizer could
// be lost otherwise.
func (p *patcher) metadata(ctx context.Context, ms *v1alpha1.MeshSync) error {
	lock := client.MergeFromWithOptions(p.before, client.MergeFromWithOptimisticLock{})
	if err := p.client.Patch(ctx, ms, lock, client.FieldOwner(ownership.FieldManager)); err != nil {
		return err
	}
	p.before, p.version = ms.DeepCopy(), ms.ResourceVersion
	return nil
}

const (
	// staleWait is how soon a MeshSync is looked at again that the cache shows as it was before our last write.
	staleWait = 20 * time.Millisecond
	// staleAtMost is how long a cache is waited for. One that is further behind is not a matter of milliseconds, and
	// drift must not wait for it.
	staleAtMost = 5 * time.Second
)

// written is what the API server answered to our last write of a MeshSync.
type written struct {
	version string
	at      time.Time
}

// stale reports whether ms is older than our last write. Working from it would undo or repeat what the last run said.
func (w written) stale(ms *v1alpha1.MeshSync, now time.Time) bool {
	if w.version == "" || now.Sub(w.at) > staleAtMost {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(ms.ResourceVersion, w.version)
	return err == nil && order < 0
}
