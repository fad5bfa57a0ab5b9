package meshsync

import (
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// writeHealthy writes the condition Healthy. Healthy is about the resources, Ready about the run: a
// run without a plan keeps the last Healthy condition.
func writeHealthy(ms *v1alpha1.MeshSync, o outcome) {
	if o.plan == nil || o.notBegun {
		return
	}
	refusals := syncrun.Refusals(o.plan)
	switch {
	case o.wrote.failed > 0:
		conditions.MarkFalse(ms, meta.HealthyCondition, v1alpha1.ReasonApplyFailed, "%s could not be written", text.Count(o.wrote.failed, "object"))
	case len(refusals) > 0:
		conditions.MarkFalse(ms, meta.HealthyCondition, v1alpha1.ReasonRefused, "Refused, because another owner has the object or it opted out: %s", list(refusals))
	case len(o.plan.StatusProblems) > 0:
		writeStatusProblems(ms, o.plan.StatusProblems)
	case o.inPlace():
		except := ""
		if n := len(syncrun.SkippedObjects(o.plan)); n > 0 {
			except = fmt.Sprintf(", except %d skipped", n)
		}
		conditions.MarkTrue(ms, meta.HealthyCondition, meta.SucceededReason, "All resources of %s are in place%s", text.Short(o.bundle.Revision), except)
	case o.observeOnly:
		conditions.MarkFalse(ms, meta.HealthyCondition, v1alpha1.ReasonObserved, "%d of %s of %s are in place; %s. Nothing is written, because spec.mode is Observe",
			o.plan.Unchanged, text.Count(len(o.bundle.Resources), "resource"), text.Short(o.bundle.Revision), countPlanned(o.plan).toDo())
	}
}

// writeStatusProblems reports the problems that istiod found, rejected objects first.
func writeStatusProblems(ms *v1alpha1.MeshSync, all []clustercache.StatusProblem) {
	first, rejected := all[0], 0
	for _, c := range all {
		if c.Rejected {
			rejected++
		}
		if c.Rejected && !first.Rejected {
			first = c
		}
	}
	if rejected > 0 {
		conditions.MarkFalse(ms, meta.HealthyCondition, v1alpha1.ReasonIstioRefuses, "Istio rejects %s: %s: %s",
			text.Count(rejected, "object"), first.Key, cut(first.Message))
		return
	}
	conditions.MarkUnknown(ms, meta.HealthyCondition, meta.ProgressingReason, "Not all proxies have received %s yet: %s: %s",
		text.Count(len(all), "object"), first.Key, cut(first.Message))
}
