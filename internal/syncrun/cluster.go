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

// Looker tells what the cluster holds of the managed kinds, from watches.
type ClusterReader interface {
	plans.Reader
	// Whole reads an object of which a view only has the key.
	GetFull(ctx context.Context, foreign *unstructured.Unstructured) (*unstructured.Unstructured, error)
}

// Cluster is what a run reads of the cluster that it plans for.
type Cluster struct {
	// Client lists the MeshSyncs of the cluster.
	Client client.Reader
	// Objects are the objects of the managed kinds.
	Objects ClusterReader
	// Kinds are watched and may be written.
	Kinds []istio.Kind
	Now   func() time.Time
}

// ReadObjects are foreign objects that spec.adopt may select, as they were read last.
type ReadObjects map[render.Key]*unstructured.Unstructured

// Plan compares a bundle with the cluster, and returns the plan and the preflight problems.
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
		Prune:                 ms.Prunes(),
		MaxPrunePercent:       ms.MaxPrunePercent(),
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

// Owner is whose objects are ours. Objects of MeshSyncs that no longer exist may be claimed.
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

func ApplySetID(ms *v1alpha1.MeshSync) string {
	return ownership.ApplySetID(ms.Name, ms.Namespace, v1alpha1.MeshSyncKind, v1alpha1.GroupVersion.Group)
}

// owns tells whether anything in the cluster is, or was, of a MeshSync.
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

// withdraws is how long what was offered to other clusters stays. Who only observes is told what goes in the end.
func withdrawAfter(ms *v1alpha1.MeshSync) time.Duration {
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		return 0
	}
	return ms.Withdraws()
}

// settles is how long what newly depends on other clusters waits. In a first sync, also one that takes several runs, and when a revision that was applied is
// seen again after a restart, nothing does.
func RoutingDelay(ms *v1alpha1.MeshSync, bundle *render.Bundle) time.Duration {
	if ms.Status.LastAppliedRevision == bundle.Revision || isFirst(ms, bundle) || ms.Spec.Mode == v1alpha1.ModeObserve {
		return 0
	}
	return ms.Settles()
}
