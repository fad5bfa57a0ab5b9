package plans

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// Effect is what a write does to callers.
type Effect string

const (
	// Adds: something is added. Existing callers are not affected.
	Adds Effect = "adds"
	// Changes: no host, endpoint, subset or caller is removed, but values change: a timeout, a fault,
	// a limit, a TLS mode. Callers may fail. It is written once, shared with the additions.
	Changes Effect = "changes"
	// Removes: something is only removed.
	Removes Effect = "removes"
	// Replaces: something is added and something removed. Such an update is written in two phases:
	// first the union of live and desired, then, after the settle time, the desired object. Drift is
	// corrected in one phase.
	Replaces Effect = "replaces"
)

// setEffects sets the effect of each write, and the transitional object of updates that replace.
func setEffects(d *Draft) {
	actions := d.Plan.Actions
	if !slices.ContainsFunc(actions, Action.Writes) {
		return
	}
	// between are the objects after all additions and before all removals.
	between := maps.Clone(d.Live)
	replacesRouting := false
	for i, action := range actions {
		if action.Verb == Create || action.Verb == Update {
			between[action.Key] = action.Desired
		}
		if action.Verb != Update || action.Drift {
			continue
		}
		if union := transitionalOf(action.Desired, action.Live); union != action.Desired {
			actions[i].Transitional, between[action.Key] = union, union
			replacesRouting = replacesRouting || IsRouting(action.Key.Kind)
		}
	}
	var conflicting sets.Set[string]
	if replacesRouting {
		conflicting = d.conflictingServices(actions, between)
	}
	for i, action := range actions {
		switch action.Verb {
		case Create:
			actions[i].Effect = Adds
			if merge.Restricts(action.Desired, d.Live, between) {
				actions[i].Effect = Removes
			}
		case Update:
			actions[i].Effect = effectOf(action)
			if action.Transitional != nil && conflicting.Has(action.Service) && IsRouting(action.Key.Kind) {
				// Its old and new entries conflict: Istio would lose endpoints of both.
				actions[i].Effect, actions[i].Transitional = Changes, nil
			}
		case Delete:
			actions[i].Effect = Removes
		case Claim:
			actions[i].Effect = Adds
		case Skip, Refuse, Withdraw, Defer, Report:
		}
	}
}

// transitionalOf is what an update writes first: the union of both, or the desired object itself
// if one write is enough. In one ServiceEntry every endpoint serves every port. Where old
// endpoints stay that never served a new port, the port comes with the second write; where new
// endpoints do not serve an old port, the port goes with the first.
func transitionalOf(desired, live *unstructured.Unstructured) *unstructured.Unstructured {
	union := merge.Union(desired, live)
	if union == desired || desired.GetKind() != "ServiceEntry" {
		return union
	}
	had, wanted, between := nested.Map(live.Object, "spec"), nested.Map(desired.Object, "spec"), nested.Map(union.Object, "spec")
	hasNew := hasMoreEndpoints(between, had)
	hasOld := hasMoreEndpoints(between, wanted) || merge.SelectsPods(between) && !merge.SelectsPods(wanted)
	conflicts := func(port any) bool {
		return hasOld && !hasPort(had, port) || hasNew && !hasPort(wanted, port)
	}
	ports := nested.List(between, "ports")
	shared := slices.DeleteFunc(slices.Clone(ports), conflicts)
	switch len(shared) {
	case len(ports):
		return union
	case 0:
		return desired
	}
	spec := maps.Clone(between)
	spec["ports"] = shared
	var endpoints []any
	for _, endpoint := range nested.List(spec, "endpoints") {
		fields := maps.Clone(nested.Map(endpoint))
		numbers := maps.Clone(nested.Map(fields, "ports"))
		maps.DeleteFunc(numbers, func(name string, _ any) bool {
			return !slices.ContainsFunc(shared, func(port any) bool { return nested.Map(port)["name"] == name })
		})
		if len(numbers) > 0 {
			fields["ports"] = numbers
		}
		endpoints = append(endpoints, fields)
	}
	if len(endpoints) > 0 {
		spec["endpoints"] = endpoints
	}
	out := &unstructured.Unstructured{Object: maps.Clone(union.Object)}
	out.Object["spec"] = spec
	return out
}

// hasMoreEndpoints tells whether an entry has an address that the other lacks.
func hasMoreEndpoints(entry, than map[string]any) bool {
	return slices.ContainsFunc(nested.List(entry, "endpoints"), func(endpoint any) bool {
		return !slices.ContainsFunc(nested.List(than, "endpoints"), func(other any) bool { return nested.Map(other)["address"] == nested.Map(endpoint)["address"] })
	})
}

func hasPort(entry map[string]any, port any) bool {
	return slices.ContainsFunc(nested.List(entry, "ports"), func(known any) bool {
		return merge.PortNumber(known, "number") == merge.PortNumber(port, "number")
	})
}

func effectOf(update Action) Effect {
	switch {
	case update.Drift:
		return Replaces
	case update.Transitional == nil && merge.IsAdditive(update.Desired, update.Live):
		return Adds
	case update.Transitional == nil:
		return Changes
	case merge.Same(update.Transitional.Object["spec"], merge.SpecWithoutServerFields(update.Live)):
		return Removes
	default:
		return Replaces
	}
}

// NeedsTwoPhases reports whether an action takes two writes.
func (a Action) NeedsTwoPhases() bool { return a.Effect == Replaces && a.Transitional != nil }

// Step is one write of a plan: an action, or one phase of an action that needs two.
type Step struct {
	Action Action
	// First is set if the step writes [Action.Transitional].
	First bool
}

// IsSecondPhase reports whether a step is the second of two writes.
func (s Step) IsSecondPhase() bool { return s.Action.NeedsTwoPhases() && !s.First }

// Target is the object that a step writes.
func (s Step) Target() *unstructured.Unstructured {
	if s.First {
		return s.Action.Transitional
	}
	return s.Action.Desired
}
