package plans

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// Effect is what a write does to those who use what it is about.
type Effect string

const (
	// Adds: whoever used it before goes on as before.
	Adds Effect = "adds"
	// Changes: it takes no host, endpoint, subset or caller away, but sets other values: a timeout, a fault, a limit, a TLS mode. Whoever used it may fail
	// from then on. It is written once, in the order of what widens.
	Changes Effect = "changes"
	// Removes: it only takes away.
	Removes Effect = "removes"
	// Replaces: it adds, and takes away. Such an update is written twice: first with all of both, and as it shall be when
	// everybody who may use the new has been told of it. What somebody else put there nobody shall use, and it is written once.
	// Values may be others, too.
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

// betweenOf is what stands in between, the desired object itself if nothing has to. In one entry every endpoint has every port: where endpoints go that never
// offered a new port, it comes with the last write; where endpoints come that do not offer an old port any more, it goes with the first.
func transitionalOf(desired, live *unstructured.Unstructured) *unstructured.Unstructured {
	both := merge.Union(desired, live)
	if both == desired || desired.GetKind() != "ServiceEntry" {
		return both
	}
	had, wanted, between := nested.Map(live.Object, "spec"), nested.Map(desired.Object, "spec"), nested.Map(both.Object, "spec")
	comes := hasMoreEndpoints(between, had)
	goes := hasMoreEndpoints(between, wanted) || merge.SelectsPods(between) && !merge.SelectsPods(wanted)
	apart := func(port any) bool {
		return goes && !hasPort(had, port) || comes && !hasPort(wanted, port)
	}
	ports := nested.List(between, "ports")
	together := slices.DeleteFunc(slices.Clone(ports), apart)
	switch len(together) {
	case len(ports):
		return both
	case 0:
		return desired
	}
	spec := maps.Clone(between)
	spec["ports"] = together
	var endpoints []any
	for _, endpoint := range nested.List(spec, "endpoints") {
		fields := maps.Clone(nested.Map(endpoint))
		numbers := maps.Clone(nested.Map(fields, "ports"))
		maps.DeleteFunc(numbers, func(name string, _ any) bool {
			return !slices.ContainsFunc(together, func(port any) bool { return nested.Map(port)["name"] == name })
		})
		if len(numbers) > 0 {
			fields["ports"] = numbers
		}
		endpoints = append(endpoints, fields)
	}
	if len(endpoints) > 0 {
		spec["endpoints"] = endpoints
	}
	out := &unstructured.Unstructured{Object: maps.Clone(both.Object)}
	out.Object["spec"] = spec
	return out
}

// hasMoreEndpoints tells whether an entry has an address that the other one has not.
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

// twice reports whether an action takes two writes.
func (a Action) NeedsTwoPhases() bool { return a.Effect == Replaces && a.Transitional != nil }

// step is one write of a plan: an action, or the first of the two writes of one that replaces.
type Step struct {
	Action Action
	// first: the object is made as it is in between.
	First bool
}

// second reports whether a step is the last of two writes.
func (s Step) IsSecondPhase() bool { return s.Action.NeedsTwoPhases() && !s.First }

// target is the object that a step writes.
func (s Step) Target() *unstructured.Unstructured {
	if s.First {
		return s.Action.Transitional
	}
	return s.Action.Desired
}
