package plans

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Reader shows what a cluster has. [clustercache.Cache] is one.
type Reader interface {
	// Snapshot returns everything.
	Snapshot(ctx context.Context) (clustercache.State, error)
	// Select returns a part.
	Select(ctx context.Context, selector clustercache.Selector) (clustercache.State, error)
	// ChangedSince returns the objects that may have changed since a number, and the number to ask
	// with next; known is false if that is not remembered.
	ChangedSince(number uint64) (changed []render.Key, next uint64, known bool)
}

// Planner makes the plans of one MeshSync, one after another, and remembers what the next one needs.
//
// After the first plan it considers only objects that changed in the bundle or cluster, objects
// with an action in the previous plan, and objects of the same services. Its plans equal those that
// [Memory.Make] makes of everything. A Planner is not safe for concurrent use.
//
// A run of a controller is:
//
//	planner.StartRun()
//	observed, err := planner.Observe(ctx, bundle, options) // from the watch cache: no request
//	plan := planner.Make(bundle, observed, options)
//	planner.Begin(plan)
//	result, err := applier.Apply(ctx, plan)
//	planner.Applied(result.Known, result.Corrected(), now)
type Planner struct {
	reader Reader
	last   *lastPlan
	memory Memory
	fights Fights
	// needed collects [Plan.FirstNeeded] of the current run, which may make plans for two bundles.
	needed FirstNeeded
	owned  sets.Set[render.Key]
	index  serviceIndex
}

// lastPlan is where the next plan starts: every object that is not unsettled equals the bundle.
type lastPlan struct {
	bundle *render.Bundle
	owner  ownership.Owner
	// nextChange is the number to ask [Reader.ChangedSince] with.
	nextChange uint64
	// unsettled are objects with an action or a status problem.
	unsettled sets.Set[render.Key]
	missing   []istio.Kind
	// subset is what was observed, nil for everything.
	subset *subset
}

// Observed is the state that [Planner.Observe] selected for the next plan.
type Observed struct {
	clustercache.State
	// subset is what was observed, nil for everything; nextChange is where the planner continues.
	subset     *subset
	nextChange uint64
}

// Partial reports whether only a part of the cluster was observed.
func (o Observed) Partial() bool { return o.subset != nil }

// subset is the part of a bundle that an observed state is for.
type subset struct {
	bundle *render.Bundle
	keys   sets.Set[render.Key]
}

// NewPlanner returns a planner without memory, as after a restart.
func NewPlanner(reader Reader) *Planner {
	return &Planner{reader: reader, memory: Memory{Known: Record{}}}
}

// StartRun begins a run: dependencies that the plans of the last run no longer needed are forgotten.
func (p *Planner) StartRun() {
	if p.needed != nil {
		p.memory.FirstNeeded, p.needed = p.needed, nil
	}
}

// Memory returns what the planner remembers, for a plan at this moment. It must not be changed.
func (p *Planner) Memory(now time.Time) Memory {
	memory := p.memory
	memory.Backoffs, _ = p.fights.Backoffs(now)
	return memory
}

// Fights are the objects that another writer keeps changing.
func (p *Planner) Fights() *Fights { return &p.fights }

// Observe selects what the next plan for a bundle has to consider.
func (p *Planner) Observe(ctx context.Context, bundle *render.Bundle, options Options) (Observed, error) {
	if p.last != nil && options.AdditiveOnly == nil && p.last.owner.ID == options.Owner.ID && p.last.owner.Living.Equal(options.Owner.Living) {
		if changed, next, known := p.reader.ChangedSince(p.last.nextChange); known {
			view, err := p.observeChanged(ctx, bundle, append(changed, p.last.unsettled.UnsortedList()...))
			if err != nil || slices.Equal(view.Missing, p.last.missing) {
				view.nextChange = next
				return view, err
			}
		}
	}
	_, next, _ := p.reader.ChangedSince(0)
	state, err := p.reader.Snapshot(ctx)
	return Observed{State: state, nextChange: next}, err
}

// observeChanged selects these objects, the resources that differ from the last bundle, all objects
// of the same services, and for policies the other policies of the namespace.
func (p *Planner) observeChanged(ctx context.Context, bundle *render.Bundle, changed []render.Key) (Observed, error) {
	scope := clustercache.Selector{Keys: sets.New(changed...), Services: sets.New[string](), Policies: sets.New[string]()}
	p.index.reindex(p.last.bundle, bundle, func(resource *render.Resource) {
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

// Make plans a bundle with what Observe returned for it.
func (p *Planner) Make(bundle *render.Bundle, observed Observed, options Options) Plan {
	memory := p.Memory(options.Timing.Now)
	considered, rest := bundle, restCounts{}
	if observed.Partial() {
		considered = observed.subset.bundle
		rest = restCounts{resources: len(bundle.Resources) - len(considered.Resources), owned: p.owned.Len()}
		for key := range observed.subset.keys {
			if p.owned.Has(key) {
				rest.owned--
			}
		}
	}
	plan := memory.make(considered, observed.State, options, rest)
	if observed.Partial() {
		_, plan.UnusedNamespaces = namespacesOf(bundle, observed.State, options.Owner)
	}
	p.update(observed, plan, options.Owner)
	p.last = &lastPlan{
		bundle: bundle, owner: options.Owner, nextChange: observed.nextChange, missing: observed.Missing,
		subset: observed.subset, unsettled: unsettledKeys(plan),
	}
	if options.AdditiveOnly != nil {
		p.last = nil // A merged object does not equal the bundle.
	}
	return plan
}

// Begin notes that a plan is about to be carried out. What it does with acknowledgements is not
// asked again.
func (p *Planner) Begin(plan Plan) { p.memory.Acknowledged = plan.Acknowledged }

// unsettledKeys are the objects that are not known to equal the bundle.
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

// update remembers what an observed state and a plan show, whether the plan is carried out or not.
func (p *Planner) update(observed Observed, plan Plan, owner ownership.Owner) {
	if observed.Partial() {
		p.owned.Delete(observed.subset.keys.UnsortedList()...)
	} else {
		p.owned = sets.New[render.Key]()
	}
	for _, object := range observed.Objects {
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
			p.memory.Known[key] = hash
		}
	}
	if p.needed == nil {
		p.needed = FirstNeeded{}
	}
	for service, dependencies := range plan.FirstNeeded {
		if p.needed[service] == nil {
			p.needed[service] = map[string]time.Time{}
		}
		maps.Copy(p.needed[service], dependencies)
	}
}

// Applied notes what the cluster has after the last plan was carried out, and which drift was
// corrected. It returns the objects of fights that begin with these corrections.
func (p *Planner) Applied(known Record, corrected []Action, now time.Time) (fights []render.Key) {
	if p.last == nil || p.last.subset == nil {
		p.memory.Known = maps.Clone(known)
	} else {
		for key := range p.last.subset.keys {
			if hash, ok := known[key]; ok {
				p.memory.Known[key] = hash
			} else {
				delete(p.memory.Known, key)
			}
		}
	}
	return p.fights.Corrected(corrected, now)
}

// findResource finds a resource by its key; the resources of a bundle are sorted by key.
func findResource(bundle *render.Bundle, key render.Key) (render.Resource, bool) {
	i, ok := slices.BinarySearchFunc(bundle.Resources, key.String(), func(resource render.Resource, name string) int {
		return strings.Compare(resource.Key.String(), name)
	})
	if !ok {
		return render.Resource{}, false
	}
	return bundle.Resources[i], true
}
