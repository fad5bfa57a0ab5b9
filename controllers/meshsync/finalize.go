package meshsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// deletionRecheck is the wait before the next check for remaining objects. A watch usually wakes
// the reconciler earlier.
const deletionRecheck = 2 * time.Second

// finalize carries out the deletion policy and removes the finalizer. Failed deletions are retried,
// so no object is left behind.
func (r *Reconciler) finalize(ctx context.Context, ms *v1alpha1.MeshSync, p *patcher) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(ms, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	if syncrun.LeavesObjects(ms) {
		ctrl.LoggerFrom(ctx).Info("the MeshSync is deleted; its objects stay, and the next MeshSync of this cluster can claim them")
		return r.release(ctx, ms, p)
	}

	run, cancel := context.WithTimeout(ctx, ms.GetTimeout())
	defer cancel()
	inherited, err := r.inheritedApplySets(run, ms)
	if err != nil {
		return r.reportStuck(ctx, ms, p, err)
	}
	successor, err := r.successor(run, ms)
	if err != nil {
		return r.reportStuck(ctx, ms, p, err)
	}
	if successor != nil {
		if err := r.handOver(run, inherited.Insert(syncrun.ApplySetID(ms)), successor); err != nil {
			return r.reportStuck(ctx, ms, p, err)
		}
		r.events.Eventf(ms, corev1.EventTypeNormal, meta.SucceededReason, "The objects of this MeshSync stay although spec.deletionPolicy is Delete: "+
			"MeshSync %s/%s takes over this cluster. It claims the objects that its source declares and prunes the others.", successor.Namespace, successor.Name)
		return r.release(ctx, ms, p)
	}
	remaining, err := r.deleteOwned(run, ms, inherited)
	if errors.Is(err, execute.ErrNotLeading) {
		return ctrl.Result{RequeueAfter: deletionRecheck}, nil
	}
	if err != nil {
		return r.reportStuck(ctx, ms, p, err)
	}
	if remaining > 0 {
		conditions.MarkReconciling(ms, meta.ProgressingReason, "Waiting for the API server to remove %s", text.Count(remaining, "deleted object"))
		if err := p.status(ctx, ms); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		return ctrl.Result{RequeueAfter: deletionRecheck}, nil
	}
	r.events.Eventf(ms, corev1.EventTypeNormal, meta.SucceededReason, "Deleted all objects of this MeshSync")
	return r.release(ctx, ms, p)
}

// successor is the MeshSync that manages this cluster after ms is deleted, nil if there is none.
// Deleting the objects that it will claim would interrupt callers. A MeshSync that may not write is
// no successor, because it claims nothing.
func (r *Reconciler) successor(ctx context.Context, ms *v1alpha1.MeshSync) (*v1alpha1.MeshSync, error) {
	all := &v1alpha1.MeshSyncList{}
	if err := r.uncached.List(ctx, all); err != nil {
		return nil, fmt.Errorf("cannot list the MeshSyncs of this cluster to find a successor: %w", err)
	}
	var next *v1alpha1.MeshSync
	for i := range all.Items {
		other := &all.Items[i]
		active := other.DeletionTimestamp.IsZero() && syncrun.MayWrite(other)
		if other.UID != ms.UID && active && syncrun.IsOlder(ms, other) && (next == nil || syncrun.IsOlder(other, next)) {
			next = other
		}
	}
	return next, nil
}

// handOver records on the successor that it inherits the objects of these ApplySets: if it is
// deleted before it has claimed them, its deletion policy covers them. The finalizer is added here,
// because the successor may not have had its first run. If the successor is deleted meanwhile, the
// patch fails with a conflict, and the retry finds another successor.
func (r *Reconciler) handOver(ctx context.Context, inherited sets.Set[string], next *v1alpha1.MeshSync) error {
	before := next.DeepCopy()
	all := inherited.Union(inheritedIDs(next))
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, v1alpha1.InheritsAnnotation, strings.Join(sets.List(all), ","))
	controllerutil.AddFinalizer(next, v1alpha1.Finalizer)
	if err := r.client.Patch(ctx, next, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("cannot hand the objects of this MeshSync over to MeshSync %s/%s: %w", next.Namespace, next.Name, err)
	}
	return nil
}

// inheritedApplySets are the ApplySets of deleted MeshSyncs that handed their objects over to ms.
// They are read from the API server, not the cache, because a missed entry would never be deleted.
func (r *Reconciler) inheritedApplySets(ctx context.Context, ms *v1alpha1.MeshSync) (sets.Set[string], error) {
	current := &v1alpha1.MeshSync{}
	err := r.uncached.Get(ctx, client.ObjectKeyFromObject(ms), current)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("cannot read the annotation that lists the inherited objects of this MeshSync: %w", err)
	}
	return inheritedIDs(current), nil
}

// inheritedIDs are the ApplySet ids in the annotation [v1alpha1.InheritsAnnotation].
func inheritedIDs(ms *v1alpha1.MeshSync) sets.Set[string] {
	return sets.New(strings.FieldsFunc(ms.Annotations[v1alpha1.InheritsAnnotation], func(c rune) bool { return c == ',' })...)
}

// deleteOwned deletes the objects with both ownership marks of this MeshSync or of an inherited
// ApplySet, and returns the number of remaining objects.
func (r *Reconciler) deleteOwned(ctx context.Context, ms *v1alpha1.MeshSync, inherited sets.Set[string]) (remaining int, err error) {
	owner, err := r.cluster().Owner(ctx, ms)
	if err != nil {
		return 0, err
	}
	owner.Inherited = inherited
	// The cache may still have the deleted MeshSyncs.
	owner.Living = owner.Living.Difference(inherited)
	view, err := r.reader.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := r.applier.Apply(ctx, plans.MakeRelease(view, owner)); err != nil {
		return 0, err
	}
	if view, err = r.reader.Snapshot(ctx); err != nil {
		return 0, err
	}
	return len(plans.Remaining(view, owner)), nil
}

func (r *Reconciler) release(ctx context.Context, ms *v1alpha1.MeshSync, p *patcher) (ctrl.Result, error) {
	controllerutil.RemoveFinalizer(ms, v1alpha1.Finalizer)
	if err := p.metadata(ctx, ms); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("cannot remove the finalizer from MeshSync %s/%s: %w", ms.Namespace, ms.Name, err)
	}
	r.forget(client.ObjectKeyFromObject(ms))
	return ctrl.Result{}, nil
}

// reportStuck reports why the MeshSync cannot be deleted yet.
func (r *Reconciler) reportStuck(ctx context.Context, ms *v1alpha1.MeshSync, p *patcher, cause error) (ctrl.Result, error) {
	message := fmt.Sprintf("Not all objects of this MeshSync could be deleted. The controller tries again: %s "+
		"To delete the MeshSync and keep the objects, set spec.deletionPolicy to Orphan.", text.Sentence(cause.Error()))
	if conditions.GetMessage(ms, meta.ReadyCondition) != message {
		ctrl.LoggerFrom(ctx).Error(cause, "cannot delete the objects of the deleted MeshSync")
		r.events.Event(ms, corev1.EventTypeWarning, meta.PruneFailedReason, message)
	}
	conditions.MarkFalse(ms, meta.ReadyCondition, meta.PruneFailedReason, "%s", message)
	if err := p.status(ctx, ms); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("cannot write the status of MeshSync %s/%s: %w", ms.Namespace, ms.Name, err)
	}
	m := r.states.state(client.ObjectKeyFromObject(ms))
	return ctrl.Result{RequeueAfter: m.retry.failed(r.now(), r.firstRetry, ms.GetRetryInterval()).Sub(r.now())}, nil
}
