package meshsync

import (
	"fmt"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// writeCounts counts the writes of a run or, in mode Observe, the planned writes.
type writeCounts struct {
	namespaces, created, updated, claimed, adopted, deleted, failed int
	// drifted are the objects whose drift was corrected.
	drifted []render.Key
}

// countWrites counts the executed writes.
func countWrites(result execute.Result) writeCounts {
	w := writeCounts{
		namespaces: len(result.Namespaces), created: result.Created, updated: result.Updated,
		claimed: result.Claimed, adopted: result.Adopted, deleted: result.Deleted, failed: result.Failed,
	}
	for _, o := range result.Outcomes {
		if o.Action.Drift && o.Failure == nil && o.Skipped == nil {
			w.drifted = append(w.drifted, o.Action.Key)
		}
	}
	return w
}

// countPlanned counts the writes of a plan.
func countPlanned(plan *plans.Plan) writeCounts {
	w := writeCounts{
		namespaces: len(plan.Namespaces), created: plan.Count(plans.Create), updated: plan.Count(plans.Update),
		claimed: plan.Count(plans.Claim), deleted: plan.Count(plans.Delete),
	}
	for _, action := range plan.Actions {
		if action.Adopts && action.Verb == plans.Update {
			w.updated--
			w.adopted++
		}
		if action.Drift {
			w.drifted = append(w.drifted, action.Key)
		}
	}
	return w
}

// any reports whether there is any write.
func (w writeCounts) any() bool {
	return w.namespaces+w.created+w.updated+w.claimed+w.adopted+w.deleted > 0
}

func (w writeCounts) String() string {
	var parts []string
	for _, part := range []struct {
		count int
		label string
	}{{w.created, "created"}, {w.updated, "updated"}, {w.claimed, "claimed"}, {w.adopted, "adopted"}, {w.deleted, "deleted"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.label))
		}
	}
	if w.namespaces > 0 {
		parts = append(parts, text.Count(w.namespaces, "namespace")+" created")
	}
	if len(parts) == 0 {
		return "nothing to change"
	}
	return strings.Join(parts, ", ")
}

// toDo describes the planned writes.
func (w writeCounts) toDo() string {
	var parts []string
	for _, part := range []struct {
		count int
		label string
	}{{w.namespaces + w.created, "to create"}, {w.updated, "to update"}, {w.claimed, "to claim"}, {w.adopted, "to adopt"}, {w.deleted, "to delete"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.label))
		}
	}
	return strings.Join(parts, ", ")
}

const (
	// maxPending is the maximum number of pending writes in the status, and of fields per write.
	maxPending = 20
	// maxFrozen is the maximum length of status.frozen.
	maxFrozen = 500
	// maxPendingNamed is the maximum number of pending writes in a message.
	maxPendingNamed = 10
)

// pending are the planned writes in execution order.
func pending(plan *plans.Plan) []v1alpha1.Pending {
	var out []v1alpha1.Pending
	for _, namespace := range plan.Namespaces {
		out = append(out, v1alpha1.Pending{Verb: string(plans.Create), Resource: "Namespace/" + namespace})
	}
	for _, action := range plan.Actions {
		switch action.Verb {
		case plans.Create, plans.Update, plans.Claim, plans.Delete:
			out = append(out, pendingOf(action))
		case plans.Skip, plans.Refuse, plans.Withdraw, plans.Defer, plans.Report:
			// No write; listed in status.skipped, status.errors, status.deferred and
			// status.withdrawing.
		}
	}
	return out
}

func pendingOf(action plans.Action) v1alpha1.Pending {
	verb := string(action.Verb)
	if action.Adopts {
		verb = "adopt"
	}
	fields := action.Fields[:min(len(action.Fields), maxPending)]
	return v1alpha1.Pending{Verb: verb, Resource: action.Key.String(), Effect: string(action.Effect), Fields: fields}
}

// adoptions are the objects that spec.adopt selects but its mode does not adopt.
func adoptions(plan *plans.Plan) []v1alpha1.Pending {
	var out []v1alpha1.Pending
	for _, action := range plan.Adoptable() {
		out = append(out, pendingOf(action))
	}
	return out
}

// whereListed says where the planned writes are listed.
func whereListed(all []v1alpha1.Pending) string {
	if len(all) > maxPending {
		return fmt.Sprintf("status.pending lists the first %d of %d planned writes; the controller's log lists all.", maxPending, len(all))
	}
	return "status.pending lists the planned writes."
}

// firstPending names the first pending writes and counts the rest.
func firstPending(all []v1alpha1.Pending) string {
	named := make([]string, 0, maxPendingNamed)
	for _, p := range all[:min(len(all), maxPendingNamed)] {
		named = append(named, p.Verb+" "+p.Resource)
	}
	return text.AndMore(named, len(all))
}
