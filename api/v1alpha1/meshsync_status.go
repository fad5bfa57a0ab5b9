package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshSyncStatus is what the controller did and found.
type MeshSyncStatus struct {
	meta.ReconcileRequestStatus `json:",inline"`

	// ObservedGeneration is the generation of the spec that the last finished run acted on.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Healthy, SourceVerified and Preflight are positive; Reconciling and Stalled stand only while they are true.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// LastAttemptedRevision is the last commit that was fetched, "main@sha1:…".
	// +optional
	LastAttemptedRevision string `json:"lastAttemptedRevision,omitempty"`

	// LastAppliedRevision is the last commit of which everything was applied, but for services that are frozen.
	// +optional
	LastAppliedRevision string `json:"lastAppliedRevision,omitempty"`

	// RewrittenFrom is the commit that the branch held before its history was rewritten; it stands until the next
	// ordinary commit is applied.
	// +optional
	RewrittenFrom string `json:"rewrittenFrom,omitempty"`

	// Services is the number of services that run here or are called from here.
	// +optional
	Services int64 `json:"services"`

	// Resources is the number of resources that the repository says for this cluster.
	// +optional
	Resources int64 `json:"resources"`

	// Applied is the number of objects that the last change created or updated (in mode Observe: would have).
	// +optional
	Applied int64 `json:"applied"`

	// Pruned is the number of objects that the last change deleted (in mode Observe: would have).
	// +optional
	Pruned int64 `json:"pruned"`

	// Drifted is the number of objects among these that somebody had changed in the cluster.
	// +optional
	Drifted int64 `json:"drifted"`

	// Refused is the number of resources that cannot be applied, since an object of that name belongs to somebody else.
	// +optional
	Refused int64 `json:"refused,omitempty"`

	// Held is a change set that waits for a person's agreement.
	// +optional
	Held *Held `json:"held,omitempty"`

	// Acknowledged is a change set that a person let pass and that is not carried out whole yet: what is left of it is not held again.
	// +optional
	Acknowledged *Acknowledged `json:"acknowledged,omitempty"`

	// Pending are the first writes of a plan that is not carried out, in the order in which they would be: in mode Observe, and
	// while a change set is held. The controller's log has all of them.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Pending []Pending `json:"pending,omitempty"`

	// AdoptableCount is the number of objects that spec.adopt chooses and that are not taken over, since its mode is Observe.
	// +optional
	AdoptableCount int64 `json:"adoptableCount,omitempty"`

	// Adoptable are the first of them, with the fields that it would change.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Adoptable []Pending `json:"adoptable,omitempty"`

	// ErrorCount is the number of errors found; Errors lists the first of them.
	// +optional
	ErrorCount int64 `json:"errorCount,omitempty"`

	// Errors are the first errors in the commit, or the first objects that could not be applied.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Errors []SyncError `json:"errors,omitempty"`

	// LastKnownGoodRevision is the last commit that was carried out, whole or in part: what is broken later is kept as it has it.
	// +optional
	LastKnownGoodRevision string `json:"lastKnownGoodRevision,omitempty"`

	// FrozenCount is the number of services that are kept as they were when they were good last, or left out, since they are broken now;
	// Frozen lists them.
	// +optional
	FrozenCount int64 `json:"frozenCount,omitempty"`

	// Frozen are the services that are broken in the commit that was applied last, with the commit whose manifest they are kept at. Errors
	// says what is wrong with them.
	// +listType=map
	// +listMapKey=service
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Frozen []FrozenService `json:"frozen,omitempty"`

	// Skipped are the first objects that are not as the repository says and stay so all the same, with the reason.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Skipped []Skipped `json:"skipped,omitempty"`

	// DeferredCount is the number of objects that newly lead to other clusters and are written when spec.routingDelay is over; Deferred lists
	// the first.
	// +optional
	DeferredCount int64 `json:"deferredCount,omitempty"`

	// Deferred are the objects that are written first among those that wait until other clusters have had the time to offer what they lead to.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Deferred []Deferred `json:"deferred,omitempty"`

	// WithdrawingCount is the number of objects of which something left the repository and stays until spec.withdrawAfter is over; Withdrawing
	// lists the first.
	// +optional
	WithdrawingCount int64 `json:"withdrawingCount,omitempty"`

	// Withdrawing are the first objects that other clusters may still call though the repository does not have them any more, or not all of them.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Withdrawing []Withdrawal `json:"withdrawing,omitempty"`

	// UnusedNamespaces are the first namespaces that were created for the mesh and that nothing of it needs any more, nor stands in, withdrawn
	// or held. They are never deleted, since somebody else may have put something there.
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	// +optional
	UnusedNamespaces []string `json:"unusedNamespaces,omitempty"`

	// History holds the last five different results, the newest first.
	// +kubebuilder:validation:MaxItems=5
	// +optional
	History meta.History `json:"history,omitempty"`
}

// Held is a change set that loses more than may be lost without a person's agreement.
type Held struct {
	// Kind is EmptyBundle, MassDeletion or LastEndpoint.
	Kind string `json:"kind"`
	// Digest names what would be lost; acknowledging it lets exactly that pass. Clusters that would lose different
	// objects have different digests: in Git, each of them is acknowledged by its own.
	Digest string `json:"digest"`
	// Revision is the commit that would lose it.
	// +optional
	Revision string `json:"revision,omitempty"`
	// Reason says it with numbers.
	Reason string `json:"reason"`
}

// Acknowledged is a change set that was held, that a person let pass, and that is not carried out whole yet.
type Acknowledged struct {
	// Revision is the commit that loses it.
	Revision string `json:"revision"`
	// Remaining counts the deletions, and the calls that lose their last endpoint, that were ahead when this was written.
	Remaining int64 `json:"remaining"`
}

// Deferred is an object that is not written yet.
type Deferred struct {
	// Service is whose it is.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is "Kind/namespace/name".
	Resource string `json:"resource"`
	// Until is when it is written.
	Until metav1.Time `json:"until"`
}

// Withdrawal is an object that outlasts the repository for a while.
type Withdrawal struct {
	// Service is whose it is.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is "Kind/namespace/name".
	Resource string `json:"resource"`
	// Until is when it goes, or becomes what the repository says.
	Until metav1.Time `json:"until"`
}

// Pending is one write that is not made.
type Pending struct {
	// Verb is create, update, adopt (an update of an object of somebody else), claim (the object is as it should be, and its label would be taken over)
	// or delete.
	Verb string `json:"verb"`
	// Resource is "Kind/namespace/name"; for a namespace "Namespace/name".
	Resource string `json:"resource"`
	// Effect is what it would do to those who use it: widens (they go on as before), alters (nothing goes, but values are others, so that calls may fail),
	// narrows (something goes) or replaces (something comes and something goes).
	// +optional
	Effect string `json:"effect,omitempty"`
	// Fields are the paths that an update would change, "spec.hosts".
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Fields []string `json:"fields,omitempty"`
}

// SyncError is one error and where to mend it.
type SyncError struct {
	// Service is the service to blame; empty if it is the inventory, a setting or the whole repository.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is the object that is concerned, "Kind/namespace/name".
	// +optional
	Resource string `json:"resource,omitempty"`
	// Path is where in the value, "services.checkout.egress.carts".
	// +optional
	Path string `json:"path,omitempty"`
	// File is relative to the mesh repository.
	// +optional
	File string `json:"file,omitempty"`
	// Line counts from 1.
	// +optional
	Line int32 `json:"line,omitempty"`
	// Message says what is wrong.
	Message string `json:"message"`
}

// FrozenService is a service that is kept at its last good manifest.
type FrozenService struct {
	// Service by its name in the repository.
	Service string `json:"service"`
	// Revision is the commit that the manifest is from, "main@sha1:…"; empty for a service that never was good and is left out.
	// +optional
	Revision string `json:"revision,omitempty"`
}

// Skipped is an object that is not as the repository says and stays so all the same.
type Skipped struct {
	// Service is the service that it was made for, if its labels tell.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is "Kind/namespace/name".
	Resource string `json:"resource"`
	// Reason says why it stays.
	Reason string `json:"reason"`
}
