package meshsync

import (
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// blocks reports whether a problem blocks the plan.
func blocks(problems []preflight.Problem) bool {
	return slices.ContainsFunc(problems, func(p preflight.Problem) bool { return p.Blocks })
}

// blockedByPreflight is the outcome of a plan that would leave part of a mesh or a broken gateway.
func blockedByPreflight(bundle *render.Bundle, plan *plans.Plan, problems []preflight.Problem) outcome {
	blocking := slices.DeleteFunc(slices.Clone(problems), func(p preflight.Problem) bool { return !p.Blocks })
	o := outcome{
		conclusion: stalled, reason: blocking[0].Reason, bundle: bundle, plan: plan, pending: pending(plan), notBegun: true,
		brokenCount: len(bundle.Findings),
		message: fmt.Sprintf("Revision %s is not applied: %s Nothing of this revision was written. The controller continues when the cause is fixed. %s",
			text.Short(bundle.Revision), text.Sentence(firstProblems(blocking)), untouched),
	}
	for _, p := range blocking {
		e := v1alpha1.SyncError{Message: p.Message}
		if p.Resource != (render.Key{}) {
			e.Resource = p.Resource.String()
		}
		o.errors = append(o.errors, e)
	}
	o.errors = append(o.errors, syncErrors(bundle.Findings)...)
	return o
}

// with adds the result of the preflight checks.
func (o outcome) with(problems []preflight.Problem) outcome {
	o.problems, o.checked = problems, true
	return o
}

// writePreflight writes the condition Preflight, also for problems that do not block. A run that
// ended before the checks keeps the last condition.
func writePreflight(ms *v1alpha1.MeshSync, o outcome) {
	switch {
	case o.reason == v1alpha1.ReasonKindUnavailable:
		conditions.MarkFalse(ms, v1alpha1.PreflightCondition, o.reason, "%s", o.message)
	case !o.checked:
	case len(o.problems) > 0:
		conditions.MarkFalse(ms, v1alpha1.PreflightCondition, o.problems[0].Reason, "%s", cut(text.Sentence(firstProblems(o.problems))))
	default:
		conditions.MarkTrue(ms, v1alpha1.PreflightCondition, meta.SucceededReason, "This cluster matches the repository")
	}
}

// problemReasons are the reasons of a False condition Preflight.
var problemReasons = []string{preflight.GatewayOverlaps, preflight.GatewayAddress, v1alpha1.ReasonPermissionDenied, v1alpha1.ReasonKindUnavailable}

// countProblems sets the metric to match the condition Preflight. If a kind is missing, nothing
// else was checked.
func (m *Metrics) countProblems(ms *v1alpha1.MeshSync, o outcome) {
	counts := map[string]int{}
	switch {
	case o.reason == v1alpha1.ReasonKindUnavailable:
		counts[o.reason] = 1
	case !o.checked:
		return
	}
	for _, problem := range o.problems {
		counts[problem.Reason]++
	}
	for _, reason := range problemReasons {
		m.preflight.WithLabelValues(ms.Namespace, ms.Name, reason).Set(float64(counts[reason]))
	}
}

func firstProblems(problems []preflight.Problem) string {
	named := make([]string, 0, text.MaxNamed)
	for _, p := range problems[:min(len(problems), text.MaxNamed)] {
		named = append(named, p.Message)
	}
	return text.AndMore(named, len(problems))
}
