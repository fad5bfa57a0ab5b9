package plans

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Verb is what a plan does with one object.
type Verb string

const (
	// Create: the object is absent. A POST.
	Create Verb = "create"
	// Update: the object differs, or lost its label. A PUT with resourceVersion.
	Update Verb = "update"
	// Claim: the object equals the bundle and lacks our field manager. A server-side apply of the
	// label.
	Claim Verb = "claim"
	// Delete: the object has both marks and is not in the bundle.
	Delete Verb = "delete"
	// Skip: the object would be deleted or changed, but [Action.Reason] forbids it.
	Skip Verb = "skip"
	// Refuse: the bundle has the object, but it cannot be written (foreign, opted out).
	Refuse Verb = "refuse"
	// Withdraw: the object left the bundle, in whole or in part, and stays until [Action.Until].
	Withdraw Verb = "withdraw"
	// Defer: the object newly depends on another cluster and is written at [Action.Until].
	Defer Verb = "defer"
	// Report: the object has one mark only and is not in the bundle. It is only reported.
	Report Verb = "report"
)

// Action is one line of a plan.
type Action struct {
	Verb    Verb
	Key     render.Key
	Service string
	Side    render.Side
	// Drift is set if another writer changed the object: it was equal to the same desired object
	// before, as this process saw or, with [Options.WasInSync], the process before it.
	Drift bool
	// Adopts is set if the object is foreign: an Update takes it over, a Refuse shows that it could.
	Adopts bool
	// Fields are the paths that differ, sorted ("spec.hosts", "metadata.labels.isthmus.dev/service"),
	// of an Update and of an object that could be adopted.
	Fields []string
	// Effect is what the write does to callers, "" if nothing is written.
	Effect Effect
	// Reason explains every action that is not a plain write; nil otherwise.
	Reason Reason
	// Until is when a withdrawn object is deleted, or a deferred object is written.
	Until time.Time

	// Live and Desired are the object before and after, nil if there is none. They are shared with
	// the watch cache and must not be changed. A foreign live object has only its key and labels.
	Live, Desired *unstructured.Unstructured
	// Transitional is the union of Live and Desired, which an update that replaces writes first.
	Transitional *unstructured.Unstructured
	// AdoptionTarget is what the Update of a Refuse that Adopts would write.
	AdoptionTarget *unstructured.Unstructured
	// Hash is that of Desired.
	Hash string
}

// Writes reports whether the action sends a request.
func (a Action) Writes() bool {
	switch a.Verb {
	case Create, Update, Claim, Delete:
		return true
	default:
		return false
	}
}

// Plan is what is to be done, in order. It is a value: making it writes nothing.
type Plan struct {
	// Namespaces are created before anything else, with NamespaceLabels; sorted.
	Namespaces      []string
	NamespaceLabels map[string]string
	// UnusedNamespaces were created by Isthmus and are no longer needed; sorted, and only reported.
	UnusedNamespaces []string
	// Actions are in the order in which they begin; an object that is equal has none.
	Actions []Action
	// Unchanged counts the resources of the bundle that need nothing.
	Unchanged int
	// Owned counts the live objects that carry both marks.
	Owned int
	// StatusProblems are what istiod reports about objects of the bundle, in the order of the
	// bundle. They delay nothing.
	StatusProblems []clustercache.StatusProblem
	// FirstNeeded holds when each dependency on another cluster was first needed; see [Memory].
	FirstNeeded FirstNeeded
	// Guard, if not nil, holds the whole plan: nothing of it may be carried out.
	Guard *Guard
	// Overridden, if not nil, is the guard that a user acknowledged.
	Overridden *Guard
	// Acknowledged are the acknowledged lines that are not carried out yet; see [Memory].
	Acknowledged Acknowledgements

	// Owner is the ApplySet id of the MeshSync.
	Owner string
	// Known are the resources of the bundle that the cluster has before the plan is carried out.
	Known Record
}

// Count returns how many actions have that verb.
func (p Plan) Count(verb Verb) int {
	count := 0
	for _, action := range p.Actions {
		if action.Verb == verb {
			count++
		}
	}
	return count
}

// Withdrawals are the actions on objects that left the bundle and stay for a while.
func (p Plan) Withdrawals() []Action {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return a.Until.IsZero() || a.Verb == Defer })
}

// Deferrals are the actions that wait until other clusters have published an endpoint.
func (p Plan) Deferrals() []Action {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return a.Verb != Defer })
}

// Due is when the first withdrawal or deferral is over, zero if there is none.
func (p Plan) Due() time.Time {
	var first time.Time
	for _, action := range p.Actions {
		if until := action.Until; !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

// Adoptable are the foreign objects that spec.adopt selects and only observes.
func (p Plan) Adoptable() []Action {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return !a.Adopts || a.Verb != Refuse })
}

// Drifted counts the objects that another writer changed.
func (p Plan) Drifted() int {
	count := 0
	for _, action := range p.Actions {
		if action.Drift {
			count++
		}
	}
	return count
}

// Corrections is the part of the plan that corrects drift. No guard holds it: it removes only what
// the repository never had.
func (p Plan) Corrections() Plan {
	p.Guard, p.Namespaces = nil, nil
	p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return !a.Drift })
	return p
}

// Writes reports whether carrying the plan out sends any request.
func (p Plan) Writes() bool {
	if len(p.Namespaces) > 0 {
		return true
	}
	for _, action := range p.Actions {
		if action.Writes() {
			return true
		}
	}
	return false
}

// Guard is why a plan waits for the acknowledgement of a user.
type Guard struct {
	// Kind is "EmptyBundle", "MassDeletion" or "LastEndpoint".
	Kind string
	// Digest identifies the held deletions and losses, whatever else the plan does. A user
	// acknowledges it.
	Digest string
	// Reason is a sentence for a user, with the numbers.
	Reason string
}
