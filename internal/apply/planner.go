package apply

import (
	"context"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Watched shows what a cluster has. [Live] is one.
type Watched interface {
	// Look shows all of it.
	Look(ctx context.Context) (View, error)
	// LookFor shows a part of it.
	LookFor(ctx context.Context, scope Scope) (View, error)
	// Changed tells which objects may have changed since a number, and the number to ask with next.
	Changed(since uint64) (changed []render.Key, next uint64, known bool)
}

// Planner makes one plan after another. After the first it looks only at what changed, in the bundle or in the cluster, at what the last plan had something
// to do with, and at all that has to do with these; its plans are those that [Make] makes of everything. It is for one MeshSync, and not for several goroutines.
//
// A run of a controller is:
//
//	view, err := planner.Look(ctx, bundle, options)
//	plan := planner.Make(bundle, view, options)
//	result, err := applier.Apply(ctx, plan)
//	planner.Applied(result.Known)
type Planner struct {
	watched Watched
	last    *lastPlan
	known   Record
	owned   sets.Set[render.Key]
	index   index
}

// lastPlan is what the next one starts from: everything that is not open is as the bundle says.
type lastPlan struct {
	bundle *render.Bundle
	owner  Owner
	// next is the number to ask with what changed.
	next uint64
	// open are objects that the plan had an action for, or istiod a complaint about.
	open    sets.Set[render.Key]
	missing []istio.Kind
	// part is what was looked at, nil for everything.
	part *part
}

// Observed is what a [Planner] looked at.
type Observed struct {
	View
	// part is what was looked at, nil for everything; next is where the planner goes on.
	part *part
	next uint64
}

// part is the part of a bundle that a view is for.
type part struct {
	bundle *render.Bundle
	keys   sets.Set[render.Key]
}

// NewPlanner makes one that has not looked at anything.
func NewPlanner(watched Watched) *Planner { return &Planner{watched: watched, known: Record{}} }

// Look shows what the next plan for a bundle has to look at.
func (p *Planner) Look(ctx context.Context, bundle *render.Bundle, options PlanOptions) (Observed, error) {
	if p.last != nil && options.Keep == "" && p.last.owner.ID == options.Owner.ID && p.last.owner.Living.Equal(options.Owner.Living) {
		if changed, next, known := p.watched.Changed(p.last.next); known {
			view, err := p.lookFor(ctx, bundle, append(changed, p.last.open.UnsortedList()...))
			if err != nil || slices.Equal(view.Missing, p.last.missing) {
				view.next = next
				return view, err
			}
		}
	}
	_, next, _ := p.watched.Changed(0)
	view, err := p.watched.Look(ctx)
	return Observed{View: view, next: next}, err
}

// lookFor shows these objects, those whose resources are others than in the last bundle, and all that has to do with them: the objects of the same
// services, and for policies those beside them.
func (p *Planner) lookFor(ctx context.Context, bundle *render.Bundle, changed []render.Key) (Observed, error) {
	scope := Scope{Keys: sets.New(changed...), Services: sets.New[string](), Policies: sets.New[string]()}
	p.index.follow(p.last.bundle, bundle, func(resource *render.Resource) {
		scope.Keys.Insert(resource.Key)
		scope.Services.Insert(resource.Service)
	})
	for key := range scope.Keys {
		if resource, ok := find(bundle, key); ok {
			scope.Services.Insert(resource.Service)
		}
		if key.Kind == policyKind {
			scope.Policies.Insert(key.Namespace)
		}
	}
	scope.Services.Delete("")
	view, err := p.watched.LookFor(ctx, scope)
	if err != nil {
		return Observed{}, err
	}
	// What was relabelled may be of a service that nothing else led to.
	further := sets.New[string]()
	for _, object := range view.Objects {
		if service := object.GetLabels()[render.LabelService]; service != "" && scope.Keys.Has(keyOf(object)) && !scope.Services.Has(service) {
			further.Insert(service)
		}
	}
	if further.Len() > 0 {
		scope.Services = scope.Services.Union(further)
		if view, err = p.watched.LookFor(ctx, scope); err != nil {
			return Observed{}, err
		}
	}

	keys := scope.Keys
	for _, object := range view.Objects {
		keys.Insert(keyOf(object))
	}
	some := *bundle
	some.Resources = nil
	for service := range scope.Services {
		keys.Insert(p.index.keys[service]...)
	}
	for key := range keys {
		if resource, ok := find(bundle, key); ok {
			some.Resources = append(some.Resources, resource)
		}
	}
	slices.SortFunc(some.Resources, func(a, b render.Resource) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return Observed{View: view, part: &part{bundle: &some, keys: keys}}, nil
}

// Make makes the plan of a bundle, with a view that Look gave for it.
func (p *Planner) Make(bundle *render.Bundle, view Observed, options PlanOptions) Plan {
	options.Known = p.known
	of := bundle
	if view.part != nil {
		of = view.part.bundle
		options.beside = beside{resources: len(bundle.Resources) - len(of.Resources), owned: p.owned.Len()}
		for key := range view.part.keys {
			if p.owned.Has(key) {
				options.beside.owned--
			}
		}
	}
	plan := Make(of, view.View, options)
	if view.part != nil {
		_, plan.UnusedNamespaces = planNamespaces(bundle, view.View, options.Owner)
	}
	p.note(view, plan, options.Owner)
	p.last = &lastPlan{bundle: bundle, owner: options.Owner, next: view.next, missing: view.Missing, part: view.part, open: open(plan)}
	if options.Keep != "" {
		p.last = nil // What is widened is not as the bundle says.
	}
	return plan
}

// open are the objects that a plan does not leave as the bundle says.
func open(plan Plan) sets.Set[render.Key] {
	keys := sets.New[render.Key]()
	for _, action := range plan.Actions {
		keys.Insert(action.Key)
	}
	for _, complaint := range plan.Complaints {
		keys.Insert(complaint.Key)
	}
	return keys
}

// note keeps what a view and a plan tell of the cluster, whether the plan is carried out or not.
func (p *Planner) note(view Observed, plan Plan, owner Owner) {
	if view.part == nil {
		p.owned = sets.New[render.Key]()
	} else {
		p.owned.Delete(view.part.keys.UnsortedList()...)
	}
	for _, object := range view.Objects {
		if owner.Possession(object) == Owned {
			p.owned.Insert(keyOf(object))
		}
	}
	acted := sets.New[render.Key]()
	for _, action := range plan.Actions {
		acted.Insert(action.Key)
	}
	for key, hash := range plan.known {
		if !acted.Has(key) {
			p.known[key] = hash
		}
	}
}

// Applied notes what the cluster is known to have after the last plan was carried out.
func (p *Planner) Applied(known Record) {
	if p.last == nil || p.last.part == nil {
		p.known = maps.Clone(known)
		return
	}
	for key := range p.last.part.keys {
		if hash, ok := known[key]; ok {
			p.known[key] = hash
		} else {
			delete(p.known, key)
		}
	}
}

// find finds a resource by its key, by which those of a bundle are sorted.
func find(bundle *render.Bundle, key render.Key) (render.Resource, bool) {
	i, ok := slices.BinarySearchFunc(bundle.Resources, key.String(), func(resource render.Resource, name string) int {
		return strings.Compare(resource.Key.String(), name)
	})
	if !ok {
		return render.Resource{}, false
	}
	return bundle.Resources[i], true
}
