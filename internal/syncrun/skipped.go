package syncrun

import (
	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
)

// Refusals returns the resources of the bundle that an object of another owner blocks.
func Refusals(plan *plans.Plan) []v1alpha1.SyncError {
	var out []v1alpha1.SyncError
	for _, action := range plan.Actions {
		if action.Verb == plans.Refuse && !isOptedOut(action) {
			out = append(out, v1alpha1.SyncError{Service: action.Service, Resource: action.Key.String(), Message: action.Reason.String()})
		}
	}
	return out
}

// isOptedOut reports whether an object has the annotation that disables reconciliation. Such an
// object is skipped, not refused.
func isOptedOut(action plans.Action) bool {
	live := action.Live
	return action.Verb == plans.Refuse && live != nil && live.GetAnnotations()[ownership.AnnotationReconcile] == "disabled"
}

// SkippedObjects returns the objects that are not touched although they may differ from the
// repository: opted out, no longer in the repository, or fought over.
func SkippedObjects(plan *plans.Plan) []v1alpha1.Skipped {
	var out []v1alpha1.Skipped
	for _, action := range plan.Actions {
		if action.Verb == plans.Skip || action.Verb == plans.Report || isOptedOut(action) {
			out = append(out, v1alpha1.Skipped{Service: action.Service, Resource: action.Key.String(), Reason: action.Reason.String()})
		}
	}
	return out
}
