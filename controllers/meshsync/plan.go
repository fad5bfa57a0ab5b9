package meshsync

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// plan compares the bundle with the cluster.
func (r *Reconciler) plan(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, bundle *render.Bundle) (plans.Plan, error) {
	plan, _, err := r.planAndCheck(ctx, ms, m, bundle)
	return plan, err
}

// apply executes a plan.
func (r *Reconciler) apply(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, plan plans.Plan) (execute.Result, error) {
	if plan.Writes() {
		defer r.metrics.timed(phaseApply)()
	}
	result, err := r.applier.Apply(ctx, plan)
	for _, key := range m.planner.Applied(result.Known, result.Corrected(), r.now()) {
		r.events.Eventf(ms, corev1.EventTypeWarning, v1alpha1.ReasonFight,
			"Another field manager keeps changing %s. The controller backs off; status.skipped names the field manager", key)
	}
	return result, err
}

// missingPermissions are the permissions that the plan needs and the controller lacks. If the API
// server does not answer, the writes will show missing permissions.
func (r *Reconciler) missingPermissions(ctx context.Context, plan plans.Plan) []preflight.Problem {
	missing, err := r.applier.MissingPermissions(ctx, plan)
	if err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("cannot check the permissions before writing", "error", err.Error())
	}
	var problems []preflight.Problem
	for _, permission := range missing {
		problems = append(problems, preflight.Problem{
			Reason: v1alpha1.ReasonPermissionDenied, Blocks: true,
			Message: fmt.Sprintf("the controller may not %s; add the verb to its role, or generate the role again for the managed kinds", permission),
		})
	}
	return problems
}

// planAndCheck compares the bundle with the cluster, and returns the preflight problems.
func (r *Reconciler) planAndCheck(
	ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, bundle *render.Bundle,
) (plans.Plan, []preflight.Problem, error) {
	defer r.metrics.timed(phasePlan)()
	return r.cluster().Plan(ctx, ms, m.plannerFor(r.reader), &m.readObjects, bundle)
}

// cluster gives a run read access to this cluster.
func (r *Reconciler) cluster() syncrun.Cluster {
	return syncrun.Cluster{Client: r.client, Objects: r.reader, Kinds: r.kinds, Now: r.now}
}
