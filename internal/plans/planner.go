package plans

import (
	"context"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Watched shows what a cluster has. [Live] is one.
type Reader interface {
	// Look shows all of it.
	Snapshot(ctx context.Context) (clustercache.State, error)
	// LookFor shows a part of it.
	Select(ctx context.Context, scope clustercache.Selector) (clustercache.State, error)
	// Changed tells which objects may have changed since a number, and the number to ask with next.
	ChangedSince(since uint64) (changed []render.Key, next uint64, known bool)
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
	reader Reader
	Last   *lastPlan
	Known  Record
	owned  sets.Set[render.Key]
	index  serviceIndex
}

// lastPlan is what the next one starts from: everything that is not open is as the bundle says.
type lastPlan struct {
	bundle *render.Bundle
	owner  ownership.Owner
	// next is the number to ask with what changed.
	nextChange uint64
	// open are objects that the plan had an action for, or istiod a complaint about.
	open    sets.Set[render.Key]
	missing []istio.Kind
	// part is what was looked at, nil for everything.
	Subset *subset
}

// Observed is what a [Planner] looked at.
type Observed struct {
	clustercache.State
	// part is what was looked at, nil for everything; next is where the planner goes on.
	subset     *subset
	nextChange uint64
}

// part is the part of a bundle that a view is for.
type subset struct {
	bundle *render.Bundle
	keys   sets.Set[render.Key]
}

// NewPlanner makes one that has not looked at anything.
func NewPlanner(watched Reader) *Planner { return &Planner{reader: watched, Known: Record{}} }

// Look shows what the next plan for a bundle has to look at.
func (p *Planner) Observe(ctx context.Context, bundle *render.Bundle, options Options) (Observed, error) {
	if p.Last != nil && options.AdditiveOnly == "" && p.Last.owner.ID == options.Owner.ID && p.Last.owner.Living.Equal(options.Owner.Living) {
		if changed, next, known := p.reader.ChangedSince(p.Last.nextChange); known {
			view, err := p.lookFor(ctx, bundle, append(changed, p.Last.open.UnsortedList()...))
			if err != nil || slices.Equal(view.Missing, p.Last.missing) {
				view.nextChange = next
				return view, err
			}
		}
	}
	_, next, _ := p.reader.ChangedSince(0)
	view, err := p.reader.Snapshot(ctx)
	return Observed{State: view, nextChange: next}, err
}

// lookFor shows these objects, those whose resources are others than in the last bundle, and all that has to do with them: the objects of the same
// services, and for policies those beside them.
func (p *Planner) lookFor(ctx context.Context, bundle *render.Bundle, changed []render.Key) (Observed, error) {
	scope := clustercache.Selector{Keys: sets.New(changed...), Services: sets.New[string](), Policies: sets.New[string]()}
	p.index.reindex(p.Last.bundle, bundle, func(resource *render.Resource) {
		scope.Keys.Insert(resource.Key)
		scope.Services.Insert(resource.Service)
	})
	for key := range scope.Keys {
		if resource, ok := findResource(bundle, key); ok {
			scope.Services.Insert(resource.Service)
		}
		if key.Kind == istio.AuthorizationPolicyKind {
			scope.Policies.Insert(key.Namespace)
		}
	}
	scope.Services.Delete("")
	view, err := p.reader.Select(ctx, scope)
	if err != nil {
		return Observed{}, err
	}
	// What was relabelled may be of a service that nothing else led to.
	further := sets.New[string]()
	for _, object := range view.Objects {
		if service := object.GetLabels()[render.LabelService]; service != "" && scope.Keys.Has(render.KeyOf(object)) && !scope.Services.Has(service) {
			further.Insert(service)
		}
	}
	if further.Len() > 0 {
		scope.Services = scope.Services.Union(further)
		if view, err = p.reader.Select(ctx, scope); err != nil {
			return Observed{}, err
		}
	}

	keys := scope.Keys
	for _, object := range view.Objects {
		keys.Insert(render.KeyOf(object))
	}
	some := *bundle
	some.Resources = nil
	for service := range scope.Services {
		keys.Insert(p.index.keys[service]...)
	}
	for key := range keys {
		if resource, ok := findResource(bundle, key); ok {
			some.Resources = append(some.Resources, resource)
		}
	}
	slices.SortFunc(some.Resources, func(a, b render.Resource) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return Observed{State: view, subset: &subset{bundle: &some, keys: keys}}, nil
}

// Make makes the plan of a bundle, with a view that Look gave for it.
func (p *Planner) Make(bundle *render.Bundle, view Observed, options Options) Plan {
	options.Known = p.Known
	of := bundle
	if view.subset != nil {
		of = view.subset.bundle
		options.rest = restCounts{resources: len(bundle.Resources) - len(of.Resources), owned: p.owned.Len()}
		for key := range view.subset.keys {
			if p.owned.Has(key) {
				options.rest.owned--
			}
		}
	}
	plan := Make(of, view.State, options)
	if view.subset != nil {
		_, plan.UnusedNamespaces = planNamespaces(bundle, view.State, options.Owner)
	}
	p.updateKnown(view, plan, options.Owner)
	p.Last = &lastPlan{bundle: bundle, owner: options.Owner, nextChange: view.nextChange, missing: view.Missing, Subset: view.subset, open: unsettledKeys(plan)}
	if options.AdditiveOnly != "" {
		p.Last = nil // What is widened is not as the bundle says.
	}
	return plan
}

// open are the objects that a plan does not leave as the bundle says.
func unsettledKeys(plan Plan) sets.Set[render.Key] {
	keys := sets.New[render.Key]()
	for _, action := range plan.Actions {
		keys.Insert(action.Key)
	}
	for _, complaint := range plan.StatusProblems {
		keys.Insert(complaint.Key)
	}
	return keys
}

// note keeps what a view and a plan tell of the cluster, whether the plan is carried out or not.
func (p *Planner) updateKnown(view Observed, plan Plan, owner ownership.Owner) {
	if view.subset == nil {
		p.owned = sets.New[render.Key]()
	} else {
		p.owned.Delete(view.subset.keys.UnsortedList()...)
	}
	for _, object := range view.Objects {
		if owner.Ownership(object) == ownership.Owned {
			p.owned.Insert(render.KeyOf(object))
		}
	}
	acted := sets.New[render.Key]()
	for _, action := range plan.Actions {
		acted.Insert(action.Key)
	}
	for key, hash := range plan.Known {
		if !acted.Has(key) {
			p.Known[key] = hash
		}
	}
}

// Applied notes what the cluster is known to have after the last plan was carried out.
func (p *Planner) Applied(known Record) {
	if p.Last == nil || p.Last.Subset == nil {
		p.Known = maps.Clone(known)
		return
	}
	for key := range p.Last.Subset.keys {
		if hash, ok := known[key]; ok {
			p.Known[key] = hash
		} else {
			delete(p.Known, key)
		}
	}
}

// find finds a resource by its key, by which those of a bundle are sorted.
func findResource(bundle *render.Bundle, key render.Key) (render.Resource, bool) {
	i, ok := slices.BinarySearchFunc(bundle.Resources, key.String(), func(resource render.Resource, name string) int {
		return strings.Compare(resource.Key.String(), name)
	})
	if !ok {
		return render.Resource{}, false
	}
	return bundle.Resources[i], true
}
