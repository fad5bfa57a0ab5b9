package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Kinds of brakes.
const (
	EmptyBundle  = "EmptyBundle"
	MassDeletion = "MassDeletion"
	LastEndpoint = "LastEndpoint"
)

// fewDeletions never count as a mass deletion, whatever their share.
const fewDeletions = 10

// brake returns why the plan must wait for a person, nil if it need not; what a person let it pass with, nil if nobody had to; and what of all that was
// let pass is still ahead.
//
// The plan is held as a whole, and not only its deletions: what it creates was written to go with what it
// takes away, and half of a change that somebody may be about to revert helps nobody.
func brake(
	bundle *render.Bundle, live map[render.Key]*unstructured.Unstructured, owned int, actions []Action, options PlanOptions,
) (held, passed *Brake, agreed Agreement) {
	var deletions, losses []string
	for _, action := range actions {
		if action.Verb == Delete {
			deletions = append(deletions, "delete "+action.Key.String())
		}
	}
	for _, call := range lostCalls(bundle, live, actions, options.Owner) {
		losses = append(losses, fmt.Sprintf("%s -> %s", call.Caller, call.Callee))
	}
	agreed = options.Agreed.of(deletions, losses)
	if options.Keep != "" {
		// What was agreed to is not done now, and is when all is known again.
		agreed = Agreement{}.with(slices.Collect(maps.Keys(options.Agreed)))
	}
	found, lines := judge(bundle, owned, agreed.without(deletions), agreed.without(losses), options)
	switch {
	case found == nil:
		return nil, nil, agreed
	case options.AgreedRest >= len(lines):
		return nil, nil, agreed.with(lines)
	case slices.Contains(options.Acknowledged, found.Digest), slices.Contains(bundle.Acknowledged, found.Digest):
		return nil, found, agreed.with(lines)
	default:
		return found, nil, agreed
	}
}

// judge finds the brakes that trip, and what these hold. A loss of endpoints alone does not hold a few deletions beside it, so that its digest stands
// while other commits come.
func judge(bundle *render.Bundle, owned int, deletions, losses []string, options PlanOptions) (*Brake, []string) {
	var found *Brake
	var held, reasons []string
	trip := func(kind, reason string, lines []string) {
		if found == nil {
			found = &Brake{Kind: kind}
		}
		reasons = append(reasons, reason)
		held = append(held, lines...)
	}
	switch {
	case len(deletions) > 0 && len(bundle.Resources)+options.beside.resources == 0:
		why := fmt.Sprintf("the repository has nothing for cluster %s", bundle.Cluster)
		if bundle.ControlPlane != "" && bundle.ControlPlane != bundle.Cluster {
			why = fmt.Sprintf("the control plane of cluster %s is that of %s now, which gets its resources", bundle.Cluster, bundle.ControlPlane)
		}
		trip(EmptyBundle, fmt.Sprintf("%s, and %s would be deleted", why, counted(len(deletions), "object")), deletions)
	case len(deletions) >= fewDeletions && len(deletions)*100 > options.MaxPrunePercent*owned:
		trip(MassDeletion, fmt.Sprintf("%d of %d objects would be deleted, more than %d %%", len(deletions), owned, options.MaxPrunePercent), deletions)
	}
	if len(losses) > 0 {
		trip(LastEndpoint, fmt.Sprintf("%s would be left without any endpoint: %s", counted(len(losses), "declared call"), abridged(losses)), losses)
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

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func abridged(lines []string) string {
	const enough = 5
	if len(lines) <= enough {
		return strings.Join(lines, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(lines[:enough], ", "), len(lines)-enough)
}

// lostCalls are the declared calls that reach an endpoint today and none after the plan.
func lostCalls(bundle *render.Bundle, live map[render.Key]*unstructured.Unstructured, actions []Action, owner Owner) []render.Call {
	isEntry := func(action Action) bool { return action.writes() && !action.Drift && action.Key.Kind == "ServiceEntry" }
	if !slices.ContainsFunc(actions, isEntry) {
		return nil
	}
	// What the plan makes of each entry that it touches; nil where it deletes it. What somebody changed is taken as the repository had it: what it
	// gets back is no gain, and what it loses of theirs no loss.
	after := map[render.Key]*unstructured.Unstructured{}
	before := map[render.Key]*unstructured.Unstructured{}
	for _, action := range actions {
		switch {
		case action.Verb == Create, action.Verb == Update:
			after[action.Key] = action.desired
		case action.Verb == Delete:
			after[action.Key] = nil
		}
		if action.Drift {
			before[action.Key] = action.desired
		}
	}
	// Entries may have another name after the change, so those of today are found by what they are for.
	today := map[string][]render.Key{}
	for key, object := range live {
		if key.Kind == "ServiceEntry" && owner.Possession(object) != Foreign {
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
				return hasEndpoints(object)
			}
			object := live[key]
			return object != nil && owner.Possession(object) != Foreign && hasEndpoints(object)
		})
		if !reachedToday {
			continue
		}
		reachedAfter := slices.ContainsFunc(entries, func(key render.Key) bool {
			object, touched := after[key]
			if !touched {
				object = live[key]
			}
			return object != nil && hasEndpoints(object)
		})
		if !reachedAfter {
			lost = append(lost, call)
		}
	}
	return lost
}
