package syncrun

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// ClusterReader reads the objects of the managed kinds from watches.
type ClusterReader interface {
	plans.Reader
	// GetFull reads a foreign object, which the cache has only in part, from the API server.
	GetFull(ctx context.Context, foreign *unstructured.Unstructured) (*unstructured.Unstructured, error)
}

// Cluster gives a run read access to the cluster that it plans for.
type Cluster struct {
	// Client lists the MeshSyncs of the cluster.
	Client client.Reader
	// Objects are the objects of the managed kinds.
	Objects ClusterReader
	// Kinds are the managed kinds.
	Kinds []istio.Kind
	Now   func() time.Time
}

// ReadObjects are foreign objects that spec.adopt may select, as last read.
type ReadObjects map[render.Key]*unstructured.Unstructured

// Plan compares a bundle with the cluster, and returns the plan and the preflight problems. The
// error is an [UnavailableError] if a kind is missing, not managed or forbidden.
func (c Cluster) Plan(
	ctx context.Context, ms *v1alpha1.MeshSync, planner *plans.Planner, read *ReadObjects, bundle *render.Bundle,
) (plans.Plan, []preflight.Problem, error) {
	if err := c.manages(bundle); err != nil {
		return plans.Plan{}, nil, err
	}
	owner, err := c.Owner(ctx, ms)
	if err != nil {
		return plans.Plan{}, nil, err
	}
	options := plans.Options{
		Owner:                 owner,
		Prune:                 ms.PruneEnabled(),
		MaxPrunePercent:       ms.GetMaxPrunePercent(),
		AcknowledgedDigests:   acknowledged(ms),
		RemainingAcknowledged: remainingAcknowledged(ms, bundle),
		AdditiveOnly:          UnknownServices(bundle),
		Adopt:                 adopts(ms),
		WasInSync:             WasInSync(ms, bundle),
		Timing: plans.Timing{
			Now: c.Now(), WithdrawAfter: withdrawAfter(ms), RoutingDelay: RoutingDelay(ms, bundle), FirstSync: ms.Status.LastAppliedRevision == "",
		},
	}
	observed, err := planner.Observe(ctx, bundle, options)
	if err != nil {
		return plans.Plan{}, nil, classifyRead(err)
	}
	if err := requireKinds(observed.State, bundle); err != nil {
		return plans.Plan{}, nil, err
	}
	if observed.Adoptable, err = c.adoptable(ctx, ms, read, bundle, observed.State, owner); err != nil {
		return plans.Plan{}, nil, err
	}
	plan := planner.Make(bundle, observed, options)
	return plan, preflight.Check(bundle, observed.State, plan, owner), nil
}

// Owner returns the ownership of ms and of the other MeshSyncs. Objects of deleted MeshSyncs may be
// claimed.
func (c Cluster) Owner(ctx context.Context, ms *v1alpha1.MeshSync) (ownership.Owner, error) {
	all := &v1alpha1.MeshSyncList{}
	if err := c.Client.List(ctx, all); err != nil {
		return ownership.Owner{}, fmt.Errorf("cannot list the MeshSyncs of this cluster to find the owners of objects: %w", err)
	}
	owner := ownership.Owner{ID: ApplySetID(ms), Living: sets.New[string]()}
	for i := range all.Items {
		if all.Items[i].UID != ms.UID {
			owner.Living.Insert(ApplySetID(&all.Items[i]))
		}
	}
	return owner, nil
}

// ApplySetID returns the ApplySet id of a MeshSync (KEP-3659).
func ApplySetID(ms *v1alpha1.MeshSync) string {
	return ownership.ApplySetID(ms.Name, ms.Namespace, v1alpha1.MeshSyncKind, v1alpha1.GroupVersion.Group)
}

// Owns reports whether the cluster has objects of ms or of a deleted MeshSync.
func (c Cluster) Owns(ctx context.Context, ms *v1alpha1.MeshSync) (bool, error) {
	view, err := c.Objects.Snapshot(ctx)
	if err != nil || len(view.Objects) == 0 {
		return false, err
	}
	owner, err := c.Owner(ctx, ms)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(view.Objects, func(object *unstructured.Unstructured) bool {
		return owner.Ownership(object) != ownership.Foreign
	}), nil
}

// withdrawAfter is the time that withdrawn objects stay. In mode Observe it is zero, so that the
// plan lists them as deletions.
func withdrawAfter(ms *v1alpha1.MeshSync) time.Duration {
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		return 0
	}
	return ms.GetWithdrawAfter()
}

// RoutingDelay is the time that routing to other clusters is deferred. It is zero in the first
// sync, even if it takes several runs, in mode Observe, and for a revision that is already applied.
func RoutingDelay(ms *v1alpha1.MeshSync, bundle *render.Bundle) time.Duration {
	if ms.Status.LastAppliedRevision == bundle.Revision || isFirst(ms, bundle) || ms.Spec.Mode == v1alpha1.ModeObserve {
		return 0
	}
	return ms.GetRoutingDelay()
}
