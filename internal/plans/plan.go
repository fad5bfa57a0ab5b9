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
	Create Verb = "create" // POST: it is absent
	Update Verb = "update" // PUT with resourceVersion: it differs, or lost its label
	Claim  Verb = "claim"  // it equals the bundle but lacks our field manager: take co-ownership of the label
	Delete Verb = "delete" // both marks, and not in the bundle
	Skip   Verb = "skip"   // it would be deleted, or with [PlanOptions].Keep made or changed, but something forbids it: Reason says what
	Refuse Verb = "refuse" // the bundle has it, but it cannot be touched (foreign, opted out): Reason says why
	// Withdraw: it left the bundle, in whole or in part, and stays until [Action].Until.
	Withdraw Verb = "withdraw"
	// Wait: it newly depends on another cluster, which has until [Action].Until to offer it.
	Defer  Verb = "defer"
	Report Verb = "report" // not touched, told to a person: it carries one mark only and is not in the bundle
)

// Action is one line of a plan.
type Action struct {
	Verb    Verb
	Key     render.Key
	Service string
	Side    render.Side
	// Drift is set when the object was changed in the cluster by someone else since it was last known to be equal to the same
	// desired object, by this process or, with [PlanOptions].Again, by one before it: the repository did not change, the cluster did.
	Drift bool
	// Adopts is set where the object is not ours: an Update takes it over, a Refuse tells that it would.
	Adopts bool
	// Fields are the paths that differ, sorted ("spec.hosts", "metadata.labels.isthmus.dev/service"), for an Update and what would be adopted.
	Fields []string
	// Effect is what a Create, Update, Claim or Delete does to those who use the object.
	Effect Effect
	// Reason explains a Hold, Refuse, Withdraw, Wait or Report, for a person.
	Reason Reason
	// Until is when what left the bundle goes, of a Withdraw and of the Update that begins one, and when a Wait is over.
	Until time.Time

	Desired *unstructured.Unstructured
	// between, of an update that takes something away, is the desired object with what the live one has and would lose.
	Transitional *unstructured.Unstructured
	Live         *unstructured.Unstructured
	// adopted, of a Refuse that adopts, is the desired object of the Update that it would be.
	AdoptionTarget *unstructured.Unstructured
	Hash           string
}

// writes reports whether carrying the action out takes a request.
func (a Action) Writes() bool {
	switch a.Verb {
	case Create, Update, Claim, Delete:
		return true
	default:
		return false
	}
}

// Objects returns the live and the desired object of an action, nil where there is none. They are shared with the
// cache and must not be changed; a foreign live object is stripped to its key and labels. With [PlanOptions].Keep the desired
// object of an Update is the bundle's with what the live one has and would lose.
func (a Action) Objects() (live, desired *unstructured.Unstructured) { return a.Live, a.Desired }

// Plan is what would be done, in order. It is a value: making it writes nothing.
type Plan struct {
	// Namespaces are those to be created before anything else, with NamespaceLabels, sorted.
	Namespaces      []string
	NamespaceLabels map[string]string
	// UnusedNamespaces were created by Isthmus and are not needed any more, sorted; they are only reported.
	UnusedNamespaces []string
	// Actions are in the order in which they are carried out; objects that are equal have none.
	Actions []Action
	// Unchanged counts the resources of the bundle that need nothing.
	Unchanged int
	// Owned counts the live objects that carry both marks.
	Owned int
	// Complaints are what istiod says of objects of the bundle that are in the cluster, in the order of the bundle. They hold nothing up.
	StatusProblems []clustercache.StatusProblem
	// Seen goes into the [Timing] of the next plan.
	FirstNeeded FirstNeeded
	// Brake, if not nil, holds the plan as a whole: nothing of it may be carried out.
	Guard *Guard
	// Passed, if not nil, is what would have held it, had a person not let it pass.
	Overridden *Guard
	// Agreed goes into the [PlanOptions] of the next plan.
	Acknowledged Acknowledgements

	Owner string
	// known are the resources of the bundle that the cluster is known to have, before the plan is carried out.
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

// Withdrawals are the actions on what stays for a while although it left the bundle.
func (p Plan) Withdrawals() []Action {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return a.Until.IsZero() || a.Verb == Defer })
}

// Waits are what is not done yet, since other clusters have to offer something first.
func (p Plan) Deferrals() []Action {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return a.Verb != Defer })
}

// Due is when the first of its withdrawals and waits is over, zero if there is none.
func (p Plan) Due() time.Time {
	var first time.Time
	for _, action := range p.Actions {
		if until := action.Until; !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

// Adoptable are the objects that would be taken over, had the owner not only asked what that would change.
func (p Plan) Adoptable() []Action {
	return slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return !a.Adopts || a.Verb != Refuse })
}

// Drifted returns how many objects somebody else changed.
func (p Plan) Drifted() int {
	count := 0
	for _, action := range p.Actions {
		if action.Drift {
			count++
		}
	}
	return count
}

// Corrections is the part of the plan that puts right what somebody else changed. Nothing holds it: it takes away only what the repository never had.
func (p Plan) Corrections() Plan {
	p.Guard, p.Namespaces = nil, nil
	p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(a Action) bool { return !a.Drift })
	return p
}

// Writes reports whether carrying the plan out takes any request.
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

// Brake is why a plan must not be carried out before a person has agreed.
type Guard struct {
	// Kind is "EmptyBundle", "MassDeletion" or "LastEndpoint".
	Kind string
	// Digest identifies the deletions and losses that are held, independently of the order and of what
	// else the plan does; acknowledging it lets them pass.
	Digest string
	// Reason is for a person, with the numbers.
	Reason string
}
