package meshsync

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// plan compares the bundle with the cluster.
func (r *Reconciler) plan(ctx context.Context, ms *v1alpha1.MeshSync, m *memory, bundle *render.Bundle) (plans.Plan, error) {
	plan, _, err := r.planAndCheck(ctx, ms, m, bundle)
	return plan, err
}

// planAndCheck compares, and tells in which respects the cluster is not as the repository takes it to be.
func (r *Reconciler) planAndCheck(
	ctx context.Context, ms *v1alpha1.MeshSync, m *memory, bundle *render.Bundle,
) (plans.Plan, []preflight.Problem, error) {
	defer r.metrics.timed(phasePlan)()
	if err := r.manages(bundle); err != nil {
		return plans.Plan{}, nil, err
	}
	owner, err := r.owner(ctx, ms)
	if err != nil {
		return plans.Plan{}, nil, err
	}
	options := plans.Options{
		Owner:                 owner,
		Prune:                 ms.Prunes(),
		MaxPrunePercent:       ms.MaxPrunePercent(),
		AcknowledgedDigests:   acknowledged(ms),
		RemainingAcknowledged: remainingAcknowledged(ms, bundle),
		AdditiveOnly:          unknownServices(bundle),
		Adopt:                 adopts(ms),
		WasInSync:             wasInPlace(ms, bundle),
		Timing:                plans.Timing{Now: r.now(), WithdrawAfter: withdraws(ms), RoutingDelay: settles(ms, bundle), FirstSync: ms.Status.LastAppliedRevision == ""},
	}
	planner := m.plannerFor(r.reader)
	view, err := planner.Observe(ctx, bundle, options)
	if err != nil {
		return plans.Plan{}, nil, unavailable(err)
	}
	if err := has(view.State, bundle); err != nil {
		return plans.Plan{}, nil, err
	}
	if view.Adoptable, err = r.adoptable(ctx, ms, m, bundle, view.State, owner); err != nil {
		return plans.Plan{}, nil, err
	}
	plan := planner.Make(bundle, view, options)
	return plan, preflight.Check(bundle, view.State, plan, owner), nil
}

// withdraws is how long what was offered to other clusters stays. Who only observes is told what goes in the end.
func withdraws(ms *v1alpha1.MeshSync) time.Duration {
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		return 0
	}
	return ms.Withdraws()
}

// settles is how long what newly depends on other clusters waits. In a first sync, also one that takes several runs, and when a revision that was applied is
// seen again after a restart, nothing does.
func settles(ms *v1alpha1.MeshSync, bundle *render.Bundle) time.Duration {
	if ms.Status.LastAppliedRevision == bundle.Revision || isFirst(ms, bundle) || ms.Spec.Mode == v1alpha1.ModeObserve {
		return 0
	}
	return ms.Settles()
}

// apply carries a plan out.
func (r *Reconciler) apply(ctx context.Context, ms *v1alpha1.MeshSync, m *memory, plan plans.Plan) (execute.Result, error) {
	if plan.Writes() {
		defer r.metrics.timed(phaseApply)()
	}
	result, err := r.applier.Apply(ctx, plan)
	for _, key := range m.planner.Applied(result.Known, result.Corrected(), r.now()) {
		r.events.Eventf(ms, corev1.EventTypeWarning, v1alpha1.ReasonFight,
			"Somebody changes %s as often as it is put right. It is put right more rarely from now on; status.skipped names who", key)
	}
	return result, err
}

// unpermitted are the rights that a plan needs and this controller does not have. Where the API server does not tell, the writes will.
func (r *Reconciler) unpermitted(ctx context.Context, plan plans.Plan) []preflight.Problem {
	missing, err := r.applier.MissingPermissions(ctx, plan)
	if err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("it cannot be told beforehand whether all rights are there", "error", err.Error())
	}
	var problems []preflight.Problem
	for _, right := range missing {
		problems = append(problems, preflight.Problem{
			Reason: v1alpha1.ReasonPermissionDenied, Blocks: true,
			Message: fmt.Sprintf("the controller may not %s; give its role the verb, or have the role generated again for the managed kinds", right),
		})
	}
	return problems
}

// owner says whose objects are ours, and that those of MeshSyncs which are gone may be claimed.
func (r *Reconciler) owner(ctx context.Context, ms *v1alpha1.MeshSync) (ownership.Owner, error) {
	all := &v1alpha1.MeshSyncList{}
	if err := r.client.List(ctx, all); err != nil {
		return ownership.Owner{}, fmt.Errorf("cannot list the MeshSyncs of this cluster, whose objects must not be claimed: %w", err)
	}
	owner := ownership.Owner{ID: applySetID(ms), Living: sets.New[string]()}
	for i := range all.Items {
		if all.Items[i].UID != ms.UID {
			owner.Living.Insert(applySetID(&all.Items[i]))
		}
	}
	return owner, nil
}

func applySetID(ms *v1alpha1.MeshSync) string {
	return ownership.ApplySetID(ms.Name, ms.Namespace, v1alpha1.MeshSyncKind, v1alpha1.GroupVersion.Group)
}
