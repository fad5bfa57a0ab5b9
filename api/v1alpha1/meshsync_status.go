package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshSyncStatus is the observed state of a MeshSync.
type MeshSyncStatus struct {
	meta.ReconcileRequestStatus `json:",inline"`

	// ObservedGeneration is the generation of the spec that the last completed run used.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready, Healthy, SourceVerified and Preflight, and, only while they are True,
	// Reconciling and Stalled.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// LastAttemptedRevision is the last fetched commit, "main@sha1:…".
	// +optional
	LastAttemptedRevision string `json:"lastAttemptedRevision,omitempty"`

	// LastAppliedRevision is the last commit that was applied completely, except for frozen
	// services.
	// +optional
	LastAppliedRevision string `json:"lastAppliedRevision,omitempty"`

	// RewrittenFrom is the previous commit of a branch whose history was rewritten. It is removed
	// when the next ordinary commit is applied.
	// +optional
	RewrittenFrom string `json:"rewrittenFrom,omitempty"`

	// Services is the number of services that run in this cluster or are called from it.
	// +optional
	Services int64 `json:"services"`

	// Resources is the number of resources that the repository has for this cluster.
	// +optional
	Resources int64 `json:"resources"`

	// Applied is the number of objects that the last change created or updated, or would have in
	// mode Observe.
	// +optional
	Applied int64 `json:"applied"`

	// Pruned is the number of objects that the last change deleted, or would have in mode Observe.
	// +optional
	Pruned int64 `json:"pruned"`

	// Drifted is the number of these objects that had been changed outside of Git.
	// +optional
	Drifted int64 `json:"drifted"`

	// Refused is the number of resources that are not applied, because an object of the same name
	// belongs to another owner.
	// +optional
	Refused int64 `json:"refused,omitempty"`

	// Held is a plan that waits for an acknowledgement.
	// +optional
	Held *Held `json:"held,omitempty"`

	// Acknowledged is an acknowledged plan that is not applied completely yet. Its remaining losses
	// are not held again.
	// +optional
	Acknowledged *Acknowledged `json:"acknowledged,omitempty"`

	// Pending lists the first writes of a plan that is not applied, in their order: in mode
	// Observe, and while a plan is held. The log of the controller has all of them.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Pending []Pending `json:"pending,omitempty"`

	// AdoptableCount is the number of objects that spec.adopt selects but does not adopt, because
	// its mode is Observe.
	// +optional
	AdoptableCount int64 `json:"adoptableCount,omitempty"`

	// Adoptable lists the first of these objects, with the fields that adoption would change.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Adoptable []Pending `json:"adoptable,omitempty"`

	// ErrorCount is the number of errors; Errors lists the first of them.
	// +optional
	ErrorCount int64 `json:"errorCount,omitempty"`

	// Errors lists the first errors in the commit, or the first objects that could not be applied.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Errors []SyncError `json:"errors,omitempty"`

	// LastKnownGoodRevision is the last commit that was applied completely or partly. Services that
	// are broken later keep their manifest of this commit.
	// +optional
	LastKnownGoodRevision string `json:"lastKnownGoodRevision,omitempty"`

	// FrozenCount is the number of broken services that keep their last known good manifest, or are
	// left out; Frozen lists them.
	// +optional
	FrozenCount int64 `json:"frozenCount,omitempty"`

	// Frozen lists the services that are broken in the last applied commit, with the commit of
	// their last known good manifest. Errors has the reasons.
	// +listType=map
	// +listMapKey=service
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Frozen []FrozenService `json:"frozen,omitempty"`

	// Skipped lists the first objects that differ from the repository and are not touched, with the
	// reason.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Skipped []Skipped `json:"skipped,omitempty"`

	// DeferredCount is the number of objects that newly route to other clusters and wait for
	// spec.routingDelay; Deferred lists the first of them.
	// +optional
	DeferredCount int64 `json:"deferredCount,omitempty"`

	// Deferred lists the objects that are written first after spec.routingDelay. They wait so that
	// other clusters can publish the endpoints first.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Deferred []Deferred `json:"deferred,omitempty"`

	// WithdrawingCount is the number of objects that left the repository, completely or partly, and
	// stay until spec.withdrawAfter is over; Withdrawing lists the first of them.
	// +optional
	WithdrawingCount int64 `json:"withdrawingCount,omitempty"`

	// Withdrawing lists the first objects that left the repository but that other clusters may
	// still call.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Withdrawing []Withdrawal `json:"withdrawing,omitempty"`

	// UnusedNamespaces lists the first namespaces that were created for the mesh and that it no
	// longer uses. They are never deleted, because they may contain objects of other owners.
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	// +optional
	UnusedNamespaces []string `json:"unusedNamespaces,omitempty"`

	// History has the last five different results, newest first.
	// +kubebuilder:validation:MaxItems=5
	// +optional
	History meta.History `json:"history,omitempty"`
}

// Held is a plan whose losses need an acknowledgement.
type Held struct {
	// Kind is the guard that holds the plan: EmptyBundle, MassDeletion or LastEndpoint.
	Kind string `json:"kind"`
	// Digest identifies the losses. Acknowledge it in the annotation isthmus.dev/acknowledge, or in
	// settings.acknowledge in Git. Clusters with different losses have different digests.
	Digest string `json:"digest"`
	// Revision is the commit that causes the losses.
	// +optional
	Revision string `json:"revision,omitempty"`
	// Reason describes the losses with numbers.
	Reason string `json:"reason"`
}

// Acknowledged is a plan that was held and acknowledged, and that is not applied completely yet.
type Acknowledged struct {
	// Revision is the commit that causes the losses.
	Revision string `json:"revision"`
	// Remaining counts the acknowledged deletions, and calls that lose their last endpoint, that
	// were still to be done when this was written.
	Remaining int64 `json:"remaining"`
}

// Deferred is an object whose write waits for spec.routingDelay.
type Deferred struct {
	// Service is the service of the object.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is "Kind/namespace/name".
	Resource string `json:"resource"`
	// Until is the time of the write.
	Until metav1.Time `json:"until"`
}

// Withdrawal is an object that left the repository and stays until spec.withdrawAfter is over.
type Withdrawal struct {
	// Service is the service of the object.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is "Kind/namespace/name".
	Resource string `json:"resource"`
	// Until is the time when it is deleted, or changed to its state in the repository.
	Until metav1.Time `json:"until"`
}

// Pending is a write that is not made yet.
type Pending struct {
	// Verb is create, update, adopt (update an object of another owner), claim (only add the
	// ownership label, because the object is equal) or delete.
	Verb string `json:"verb"`
	// Resource is "Kind/namespace/name"; for a namespace "Namespace/name".
	Resource string `json:"resource"`
	// Effect is the effect on callers: adds (calls continue), changes (nothing is removed, but
	// values change, so calls may fail), removes, or replaces (adds and removes).
	// +optional
	Effect string `json:"effect,omitempty"`
	// Fields are the paths that an update would change, such as "spec.hosts".
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Fields []string `json:"fields,omitempty"`
}

// SyncError is an error and its location.
type SyncError struct {
	// Service is the service to blame; empty if it is the inventory, a setting or the whole
	// repository.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is the object that is concerned, "Kind/namespace/name".
	// +optional
	Resource string `json:"resource,omitempty"`
	// Path is the path in the value, such as "services.checkout.egress.carts".
	// +optional
	Path string `json:"path,omitempty"`
	// File is relative to the mesh repository.
	// +optional
	File string `json:"file,omitempty"`
	// Line counts from 1.
	// +optional
	Line int32 `json:"line,omitempty"`
	// Message describes the error.
	Message string `json:"message"`
}

// FrozenService is a service that keeps its last known good manifest.
type FrozenService struct {
	// Service is the name of the service in the repository.
	Service string `json:"service"`
	// Revision is the commit of the manifest, "main@sha1:…". It is empty for a service without a
	// good manifest, which is left out.
	// +optional
	Revision string `json:"revision,omitempty"`
}

// Skipped is an object that differs from the repository and is not touched.
type Skipped struct {
	// Service is the service of the object, according to its labels.
	// +optional
	Service string `json:"service,omitempty"`
	// Resource is "Kind/namespace/name".
	Resource string `json:"resource"`
	// Reason explains why the object is not touched.
	Reason string `json:"reason"`
}
