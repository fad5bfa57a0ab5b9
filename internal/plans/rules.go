package plans

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Rule is one step of a plan: it reads the [Draft] and changes its actions or its plan.
//
// A rule may not send a request, read a clock, change an object, the bundle or the memory, or
// decide by the text of a [Reason]. A rule may turn a write into something weaker (skip, defer,
// withdraw); only the first three rules may create actions.
type Rule func(*Draft)

// rules are all steps of a plan, in their order. A later rule sees what the earlier ones decided.
var rules = []Rule{
	planNamespaces,           // namespaces to create, and namespaces that are no longer used
	planBundle,               // every resource of the bundle: create, update, claim, adopt or refuse
	planStale,                // every live object of ours that is not in the bundle: delete, skip or report
	backOffFromFights,        // skip corrections of objects that another writer keeps changing
	skipRemovals,             // while the last known good of a service is unknown, remove nothing
	keepBehindRefusals,       // keep the old objects of a service while a new one is refused
	skipRoutesBehindRefusals, // skip routes to versions that a refused DestinationRule lacks
	guardLosses,              // hold the plan if it deletes too much or ends the last endpoint of a call
	withdrawExports,          // keep for a while what other clusters may still call
	deferRouting,             // wait until other clusters can publish what callers here newly need
	setEffects,               // what each write does to callers, and which updates take two phases
	sortActions,              // additions first, removals last
}

// Draft is a plan in the making.
type Draft struct {
	Bundle  *render.Bundle
	State   clustercache.State
	Options Options
	Memory  Memory
	// Live are the objects of State by key. Foreign objects that may be adopted are complete.
	Live map[render.Key]*unstructured.Unstructured
	Plan Plan

	// rest counts the resources and objects that are equal and outside State; see [Planner].
	rest restCounts
	// hosts is computed once; see [Draft.conflictingServices].
	hosts *hostResolutions
}

// restCounts counts what is equal in the bundle and in the cluster, and not part of a draft.
type restCounts struct{ owned, resources int }

// Make plans without memory of earlier plans, as after a restart. It is [Memory.Make] of the zero
// value.
func Make(bundle *render.Bundle, state clustercache.State, options Options) Plan {
	return Memory{}.Make(bundle, state, options)
}

// Make plans a complete bundle. After a render that failed there is no bundle, and no plan. If
// the last known good manifest of a broken service is unknown, set [Options.AdditiveOnly].
func (m Memory) Make(bundle *render.Bundle, state clustercache.State, options Options) Plan {
	return m.make(bundle, state, options, restCounts{})
}

func (m Memory) make(bundle *render.Bundle, state clustercache.State, options Options, rest restCounts) Plan {
	draft := &Draft{
		Bundle: bundle, State: state, Options: options, Memory: m, rest: rest,
		Live: make(map[render.Key]*unstructured.Unstructured, len(state.Objects)),
		Plan: Plan{
			Owner: options.Owner.ID, Known: Record{}, NamespaceLabels: bundle.NamespaceLabels,
			Owned: rest.owned, Unchanged: rest.resources,
		},
	}
	for _, object := range state.Objects {
		key := render.KeyOf(object)
		draft.Live[key] = object
		if complete := state.Adoptable[key]; complete != nil {
			draft.Live[key] = complete
		}
		if options.Owner.Ownership(object) == ownership.Owned {
			draft.Plan.Owned++
		}
	}
	for _, rule := range rules {
		rule(draft)
	}
	return draft.Plan
}

// each replaces every action by what change returns for it.
func (d *Draft) each(change func(Action) Action) {
	for i, action := range d.Plan.Actions {
		d.Plan.Actions[i] = change(action)
	}
}

// objectsAfter are the live objects as they are after all writes of these actions.
func (d *Draft) objectsAfter(actions []Action) map[render.Key]*unstructured.Unstructured {
	after := make(map[render.Key]*unstructured.Unstructured, len(d.Live))
	for key, object := range d.Live {
		after[key] = object
	}
	for _, action := range actions {
		switch action.Verb {
		case Create, Update:
			after[action.Key] = action.Desired
		case Delete:
			delete(after, action.Key)
		case Claim, Skip, Refuse, Report, Withdraw, Defer:
		}
	}
	return after
}
