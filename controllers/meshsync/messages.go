package meshsync

import (
	"errors"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// first names the first findings and counts the rest.
func first(findings manifest.Findings) string {
	named := make([]string, 0, text.MaxNamed)
	for _, finding := range findings[:min(len(findings), text.MaxNamed)] {
		named = append(named, finding.String())
	}
	return text.AndMore(named, len(findings))
}

func keys(all []render.Key) string {
	named := make([]string, 0, text.MaxNamed)
	for _, key := range all[:min(len(all), text.MaxNamed)] {
		named = append(named, key.String())
	}
	return text.AndMore(named, len(all))
}

func list(errors []v1alpha1.SyncError) string {
	named := make([]string, 0, text.MaxNamed)
	for _, e := range errors[:min(len(errors), text.MaxNamed)] {
		named = append(named, e.Resource)
	}
	return text.AndMore(named, len(errors))
}

// firstRefused gives the reason of the first refusal and counts the rest.
func firstRefused(refused []v1alpha1.SyncError) string {
	return text.AndMore([]string{refused[0].Resource + ": " + refused[0].Message}, len(refused))
}

func syncErrors(findings manifest.Findings) []v1alpha1.SyncError {
	out := make([]v1alpha1.SyncError, 0, len(findings))
	for _, f := range findings {
		out = append(out, v1alpha1.SyncError{Service: f.Service, Path: f.Path, File: f.File, Line: int32(f.Line), Message: f.Message})
	}
	return out
}

// failures are the failed writes.
func failures(result execute.Result) []v1alpha1.SyncError {
	var out []v1alpha1.SyncError
	for _, o := range result.Outcomes {
		if o.Failure != nil {
			out = append(out, v1alpha1.SyncError{Service: o.Action.Service, Resource: o.Action.Key.String(), Message: o.Failure.Error()})
		}
	}
	return out
}

// firstOf is the first of joined errors, with the count of the rest.
func firstOf(err error) string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err.Error()
	}
	all := joined.Unwrap()
	return text.AndMore([]string{all[0].Error()}, len(all))
}

// isLostRace reports whether all failed writes conflicted with another writer.
func isLostRace(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, one := range joined.Unwrap() {
		var failure *execute.Failure
		if !errors.As(one, &failure) || failure.Class != execute.Conflict {
			return false
		}
	}
	return true
}

// maxTimed is the maximum length of status.deferred and status.withdrawing.
const maxTimed = 20

// withdrawals are the objects that are being withdrawn, the earliest deletion first.
func withdrawals(plan *plans.Plan) []v1alpha1.Withdrawal {
	var out []v1alpha1.Withdrawal
	for _, action := range plan.Withdrawals() {
		out = append(out, v1alpha1.Withdrawal{Service: action.Service, Resource: action.Key.String(), Until: until(action)})
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Withdrawal) int { return a.Until.Compare(b.Until.Time) })
	return out
}

// deferrals are the objects that wait for other clusters, the earliest write first.
func deferrals(plan *plans.Plan) []v1alpha1.Deferred {
	var out []v1alpha1.Deferred
	for _, action := range plan.Deferrals() {
		out = append(out, v1alpha1.Deferred{Service: action.Service, Resource: action.Key.String(), Until: until(action)})
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Deferred) int { return a.Until.Compare(b.Until.Time) })
	return out
}

// until is the time of an action in whole seconds, as the API stores it. A more precise time would
// make the status differ in each run.
func until(action plans.Action) metav1.Time {
	return metav1.NewTime(action.Until.Truncate(time.Second))
}

// firstTen shortens a list for the status; a count field has the full length.
func firstTen[T any](all []T) []T { return all[:min(len(all), 10)] }

// maxMessageBytes bounds a message in the status, far below the limit of the API server.
const maxMessageBytes = 4096

// fitToStatus cuts texts that are too long for the API server; the log has them in full.
func fitToStatus(o outcome) outcome {
	o.message = cut(o.message)
	o.errors = slices.Clone(o.errors)
	for i := range o.errors {
		o.errors[i].Message = cut(o.errors[i].Message)
	}
	return o
}

func cut(text string) string {
	if len(text) <= maxMessageBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessageBytes], "") + "… The full text is in the controller's log."
}
