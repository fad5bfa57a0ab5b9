package apply

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Verb is what a plan does with one object.
type Verb string

const (
	Create Verb = "create" // POST: it is absent
	Update Verb = "update" // PUT with resourceVersion: it differs, or lost its label
	Claim  Verb = "claim"  // it equals the bundle but lacks our field manager: take co-ownership of the label
	Delete Verb = "delete" // both marks, and not in the bundle
	Hold   Verb = "hold"   // it would be deleted, but something keeps it: Reason says what
	Refuse Verb = "refuse" // the bundle has it, but the live object is foreign or opted out: Reason says so
	Report Verb = "report" // not touched, told to a person: a copy that carries one mark only
)

// Action is one line of a plan.
type Action struct {
	Verb    Verb
	Key     render.Key
	Service string
	Side    render.Side
	// Drift is set when the object was changed in the cluster by someone else since this process last
	// knew it to be equal to the same desired object: the repository did not change, the cluster did.
	Drift bool
	// Fields are the paths that differ, sorted ("spec.hosts", "metadata.labels.isthmus.dev/service"), for an Update.
	Fields []string
	// Reason explains a Hold, Refuse or Report, for a person.
	Reason string

	desired *unstructured.Unstructured
	live    *unstructured.Unstructured
}

// Plan is what would be done, in order. It is a value: making it writes nothing.
type Plan struct {
	// Actions are in the order in which they are carried out; objects that are equal have none.
	Actions []Action
	// Unchanged counts the resources of the bundle that need nothing.
	Unchanged int
	// Brake, if not nil, holds the plan as a whole: nothing of it may be carried out.
	Brake *Brake
}

// Brake is why a plan must not be carried out before a person has agreed.
type Brake struct {
	// Kind is "EmptyBundle", "MassDeletion" or "LastEndpoint".
	Kind string
	// Digest identifies the deletions and losses that are held, independently of the order and of what
	// else the plan does; acknowledging it lets them pass.
	Digest string
	// Reason is for a person, with the numbers.
	Reason string
}
