package apply

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/render"
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

// withEffects says of each write what it does, and finds for updates that replace what stands in between.
func withEffects(actions []Action, live map[render.Key]*unstructured.Unstructured, bundle *render.Bundle) []Action {
	if !slices.ContainsFunc(actions, Action.writes) {
		return actions
	}
	out := make([]Action, len(actions))
	between := make(map[render.Key]*unstructured.Unstructured, len(live))
	for key, object := range live {
		between[key] = object
	}
	for i, action := range actions {
		out[i] = action
		if action.Verb == Create {
			between[action.Key] = action.desired
		}
		if action.Verb != Update {
			continue
		}
		between[action.Key] = action.desired
		if action.Drift {
			continue
		}
		if both := betweenOf(action.desired, action.live); both != action.desired {
			out[i].between, between[action.Key] = both, both
		}
	}
	var torn sets.Set[string]
	if slices.ContainsFunc(out, func(a Action) bool { return a.between != nil && isRouting(a.Key.Kind) }) {
		torn = tornServices(out, live, between, bundle)
	}
	for i, action := range out {
		switch action.Verb {
		case Create:
			out[i].Effect = Adds
			if narrows(action.desired, live, between) {
				out[i].Effect = Removes
			}
		case Update:
			out[i].Effect = effectOf(action)
			if action.between != nil && torn.Has(action.Service) && isRouting(action.Key.Kind) {
				// Its entries would not fit each other in between: Istio would lose endpoints of both.
				out[i].Effect, out[i].between = Changes, nil
			}
		case Delete:
			out[i].Effect = Removes
		case Claim:
			out[i].Effect = Adds
		case Hold, Refuse, Withdraw, Wait, Report:
		}
	}
	return out
}

// betweenOf is what stands in between, the desired object itself if nothing has to. In one entry every endpoint has every port: where endpoints go that never
// offered a new port, it comes with the last write; where endpoints come that do not offer an old port any more, it goes with the first.
func betweenOf(desired, live *unstructured.Unstructured) *unstructured.Unstructured {
	both := widen(desired, live)
	if both == desired || desired.GetKind() != "ServiceEntry" {
		return both
	}
	had, wanted, between := fieldsOf(live.Object, "spec"), fieldsOf(desired.Object, "spec"), fieldsOf(both.Object, "spec")
	comes := hasMoreEndpoints(between, had)
	goes := hasMoreEndpoints(between, wanted) || wayOf(between) == selected && wayOf(wanted) != selected
	apart := func(port any) bool {
		return goes && !hasPort(had, port) || comes && !hasPort(wanted, port)
	}
	ports := listOf(between, "ports")
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
	for _, endpoint := range listOf(spec, "endpoints") {
		fields := maps.Clone(fieldsOf(endpoint))
		numbers := maps.Clone(fieldsOf(fields, "ports"))
		maps.DeleteFunc(numbers, func(name string, _ any) bool {
			return !slices.ContainsFunc(together, func(port any) bool { return fieldsOf(port)["name"] == name })
		})
		if len(numbers) > 0 {
			fields["ports"] = numbers
		}
		endpoints = append(endpoints, fields)
	}
	set(spec, "endpoints", endpoints)
	out := &unstructured.Unstructured{Object: maps.Clone(both.Object)}
	out.Object["spec"] = spec
	return out
}

// hasMoreEndpoints tells whether an entry has an address that the other one has not.
func hasMoreEndpoints(entry, than map[string]any) bool {
	return slices.ContainsFunc(listOf(entry, "endpoints"), func(endpoint any) bool {
		return !slices.ContainsFunc(listOf(than, "endpoints"), func(other any) bool { return fieldsOf(other)["address"] == fieldsOf(endpoint)["address"] })
	})
}

func hasPort(entry map[string]any, port any) bool {
	return slices.ContainsFunc(listOf(entry, "ports"), func(known any) bool {
		return number(fieldsOf(known), "number") == number(fieldsOf(port), "number")
	})
}

func effectOf(update Action) Effect {
	switch {
	case update.Drift:
		return Replaces
	case update.between == nil && adds(update.desired, update.live):
		return Adds
	case update.between == nil:
		return Changes
	case same(update.between.Object["spec"], withoutAllotted(update.live)):
		return Removes
	default:
		return Replaces
	}
}

// twice reports whether an action takes two writes.
func (a Action) twice() bool { return a.Effect == Replaces && a.between != nil }

// step is one write of a plan: an action, or the first of the two writes of one that replaces.
type step struct {
	action Action
	// first: the object is made as it is in between.
	first bool
}

// second reports whether a step is the last of two writes.
func (s step) second() bool { return s.action.twice() && !s.first }

// target is the object that a step writes.
func (s step) target() *unstructured.Unstructured {
	if s.first {
		return s.action.between
	}
	return s.action.desired
}
