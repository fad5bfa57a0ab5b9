package syncrun

import (
	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
)

// refusals are the resources of the bundle that the plan leaves to somebody else.
func Refusals(plan *plans.Plan) []v1alpha1.SyncError {
	var out []v1alpha1.SyncError
	for _, action := range plan.Actions {
		if action.Verb == plans.Refuse && !isOptedOut(action) {
			out = append(out, v1alpha1.SyncError{Service: action.Service, Resource: action.Key.String(), Message: action.Reason.String()})
		}
	}
	return out
}

// optedOut tells an object of ours that a person wants left alone, which is as it should be, from one of somebody else.
func isOptedOut(action plans.Action) bool {
	live := action.Live
	return action.Verb == plans.Refuse && live != nil && live.GetAnnotations()[ownership.AnnotationReconcile] == "disabled"
}

// left are the objects that may differ from what the repository says and stay so all the same: by a person's wish, until one has judged, or while
// somebody fights over them.
func SkippedObjects(plan *plans.Plan) []v1alpha1.Skipped {
	var out []v1alpha1.Skipped
	for _, action := range plan.Actions {
		if action.Verb == plans.Skip || action.Verb == plans.Report || isOptedOut(action) {
			out = append(out, v1alpha1.Skipped{Service: action.Service, Resource: action.Key.String(), Reason: action.Reason.String()})
		}
	}
	return out
}
