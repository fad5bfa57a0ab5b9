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

// first names the first findings and how many there are beside.
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

// firstRefused says why the first of them is refused, and how many there are beside.
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

// failures are the writes that did not succeed.
func failures(result execute.Result) []v1alpha1.SyncError {
	var out []v1alpha1.SyncError
	for _, o := range result.Outcomes {
		if o.Failure != nil {
			out = append(out, v1alpha1.SyncError{Service: o.Action.Service, Resource: o.Action.Key.String(), Message: o.Failure.Error()})
		}
	}
	return out
}

// firstOf is the first of joined errors, and how many there are beside.
func firstOf(err error) string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err.Error()
	}
	all := joined.Unwrap()
	return text.AndMore([]string{all[0].Error()}, len(all))
}

// conflicts reports whether nothing failed but writes that somebody else was faster than.
func conflicts(err error) bool {
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

// maxTimed is how many of what has its time the status lists: of what settles, and of what is withdrawn.
const maxTimed = 20

// withdrawals are what stays for a while, the first to go first.
func withdrawals(plan *plans.Plan) []v1alpha1.Withdrawal {
	var out []v1alpha1.Withdrawal
	for _, action := range plan.Withdrawals() {
		out = append(out, v1alpha1.Withdrawal{Service: action.Service, Resource: action.Key.String(), Until: until(action)})
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Withdrawal) int { return a.Until.Compare(b.Until.Time) })
	return out
}

// settlings are what waits for other clusters, the first to be written first.
func deferrals(plan *plans.Plan) []v1alpha1.Deferred {
	var out []v1alpha1.Deferred
	for _, action := range plan.Deferrals() {
		out = append(out, v1alpha1.Deferred{Service: action.Service, Resource: action.Key.String(), Until: until(action)})
	}
	slices.SortStableFunc(out, func(a, b v1alpha1.Deferred) int { return a.Until.Compare(b.Until.Time) })
	return out
}

// until is the time of an action as the API has it, in seconds: with more of it the status would differ from itself, and be written in each run.
func until(action plans.Action) metav1.Time {
	return metav1.NewTime(action.Until.Truncate(time.Second))
}

// firstTen is what a list in the status holds at most; the counts beside it tell of the rest.
func firstTen[T any](all []T) []T { return all[:min(len(all), 10)] }

// longest is how many bytes of a message get into the status: enough for a person, and far from what the API server refuses.
const maxMessageBytes = 4096

// fitted cuts what would make the API server refuse the status; the log has all of it.
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
	return strings.ToValidUTF8(text[:maxMessageBytes], "") + "… The controller's log has the full text."
}
