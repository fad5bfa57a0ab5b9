package plans

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// Kinds of guards.
const (
	EmptyBundle  = "EmptyBundle"
	MassDeletion = "MassDeletion"
	LastEndpoint = "LastEndpoint"
)

// minMassDeletion is the smallest number of deletions that counts as a mass deletion.
const minMassDeletion = 10

// guardLosses holds the plan until a user acknowledges what it takes away.
//
// The whole plan is held, and not only its deletions: its additions were written to go with them,
// and half of a change that may soon be reverted helps no one.
func guardLosses(d *Draft) {
	actions := withoutExpiredWithdrawals(d.Plan.Actions)
	var deletions, losses []string
	for _, action := range actions {
		if action.Verb == Delete {
			deletions = append(deletions, "delete "+action.Key.String())
		}
	}
	for _, call := range lostCalls(d.Bundle, d.Live, actions, d.Options.Owner) {
		losses = append(losses, fmt.Sprintf("%s -> %s", call.Caller, call.Callee))
	}
	acknowledged := d.Memory.Acknowledged.stillPending(deletions, losses)
	if d.Options.AdditiveOnly != nil {
		// Acknowledged removals do not happen now; they happen when all services are known again.
		acknowledged = Acknowledgements{}.with(slices.Collect(maps.Keys(d.Memory.Acknowledged)))
	}
	guard, lines := d.trippedGuard(acknowledged.without(deletions), acknowledged.without(losses))
	resumed := d.Memory.Acknowledged == nil && d.Options.RemainingAcknowledged >= len(lines)
	switch {
	case guard == nil:
	case resumed:
		acknowledged = acknowledged.with(lines)
	case slices.Contains(d.Options.AcknowledgedDigests, guard.Digest), slices.Contains(d.Bundle.Acknowledged, guard.Digest):
		acknowledged, d.Plan.Overridden = acknowledged.with(lines), guard
	default:
		d.Plan.Guard = guard
	}
	d.Plan.Acknowledged = acknowledged
}

// trippedGuard returns the guard that holds these lines, nil if none does, and the lines. If only
// calls lose their endpoints, a few deletions beside them are not part of the digest, so that the
// digest stays the same while other commits come.
func (d *Draft) trippedGuard(deletions, losses []string) (*Guard, []string) {
	var found *Guard
	var held, reasons []string
	trip := func(kind, reason string, lines []string) {
		if found == nil {
			found = &Guard{Kind: kind}
		}
		reasons = append(reasons, reason)
		held = append(held, lines...)
	}
	switch {
	case len(deletions) > 0 && len(d.Bundle.Resources)+d.rest.resources == 0:
		why := fmt.Sprintf("the repository has nothing for cluster %s", d.Bundle.Cluster)
		if d.Bundle.ControlPlane != "" && d.Bundle.ControlPlane != d.Bundle.Cluster {
			why = fmt.Sprintf("cluster %s now uses the control plane of %s, which gets its resources", d.Bundle.Cluster, d.Bundle.ControlPlane)
		}
		trip(EmptyBundle, fmt.Sprintf("%s, and %s would be deleted", why, text.Count(len(deletions), "object")), deletions)
	case len(deletions) >= minMassDeletion && len(deletions)*100 > d.Options.MaxPrunePercent*d.Plan.Owned:
		trip(MassDeletion, fmt.Sprintf("%d of %d objects would be deleted, more than %d %%", len(deletions), d.Plan.Owned, d.Options.MaxPrunePercent), deletions)
	}
	if len(losses) > 0 {
		trip(LastEndpoint, fmt.Sprintf("%s would be left without any endpoint: %s", text.Count(len(losses), "declared call"), text.Few(losses)), losses)
	}
	if found != nil {
		found.Digest, found.Reason = digestOf(held), strings.Join(reasons, "; ")
	}
	return found, held
}

func digestOf(lines []string) string {
	sorted := slices.Sorted(slices.Values(lines))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return hex.EncodeToString(sum[:6])
}

// lostCalls are the declared calls that reach an endpoint now and none after the plan.
func lostCalls(bundle *render.Bundle, live map[render.Key]*unstructured.Unstructured, actions []Action, owner ownership.Owner) []render.Call {
	isEntry := func(action Action) bool { return action.Writes() && !action.Drift && action.Key.Kind == "ServiceEntry" }
	if !slices.ContainsFunc(actions, isEntry) {
		return nil
	}
	// after holds each entry that the plan writes, nil if it deletes the entry. Drift counts as the
	// repository had it: restored endpoints are no gain, and removed foreign endpoints no loss.
	after := map[render.Key]*unstructured.Unstructured{}
	before := map[render.Key]*unstructured.Unstructured{}
	for _, action := range actions {
		switch {
		case action.Verb == Create, action.Verb == Update:
			after[action.Key] = action.Desired
		case action.Verb == Delete:
			after[action.Key] = nil
		}
		if action.Drift {
			before[action.Key] = action.Desired
		}
	}
	// The change may rename entries, so the entries of today are found by their service.
	today := map[string][]render.Key{}
	for key, object := range live {
		if key.Kind == "ServiceEntry" && owner.Ownership(object) != ownership.Foreign {
			labels := object.GetLabels()
			if labels[render.LabelSide] != string(render.SidePublish) {
				today[labels[render.LabelService]] = append(today[labels[render.LabelService]], key)
			}
		}
	}

	var lost []render.Call
	for _, call := range bundle.Calls {
		entries := slices.Concat(today[call.Callee], call.Entries)
		reachedToday := slices.ContainsFunc(entries, func(key render.Key) bool {
			if object := before[key]; object != nil {
				return merge.HasEndpoints(object)
			}
			object := live[key]
			return object != nil && owner.Ownership(object) != ownership.Foreign && merge.HasEndpoints(object)
		})
		if !reachedToday {
			continue
		}
		reachedAfter := slices.ContainsFunc(entries, func(key render.Key) bool {
			object, touched := after[key]
			if !touched {
				object = live[key]
			}
			return object != nil && merge.HasEndpoints(object)
		})
		if !reachedAfter {
			lost = append(lost, call)
		}
	}
	return lost
}
