package v1alpha1

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Mode selects whether plans are applied.
// +kubebuilder:validation:Enum=Apply;Observe
type Mode string

// Modes of a MeshSync.
const (
	ModeApply   Mode = "Apply"
	ModeObserve Mode = "Observe"
)

// OnError selects the effect of a broken service on the others.
// +kubebuilder:validation:Enum=Freeze;Halt
type OnError string

// Values of OnError.
const (
	OnErrorFreeze OnError = "Freeze"
	OnErrorHalt   OnError = "Halt"
)

// DeletionPolicy selects what happens to the managed objects when the MeshSync is deleted.
// +kubebuilder:validation:Enum=Orphan;Delete
type DeletionPolicy string

// Deletion policies of a MeshSync.
const (
	DeletionOrphan DeletionPolicy = "Orphan"
	DeletionDelete DeletionPolicy = "Delete"
)

// MeshSyncSpec is the desired state: the mesh repository, and the name of this cluster in it.
type MeshSyncSpec struct {
	// Cluster is the name of this cluster in the inventory of the mesh repository.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Cluster string `json:"cluster"`

	// Source is the Git repository that all clusters of the mesh share.
	// +required
	Source Source `json:"source"`

	// Path is the folder of the mesh (cue.mod and mesh.cue) in the repository. Defaults to the
	// root.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(p, p == '..')",message="path must be inside the repository: neither absolute nor with '..'"
	// +optional
	Path string `json:"path,omitempty"`

	// Interval is the time between two checks of the repository, plus or minus the jitter of the
	// controller. Drift in the cluster is corrected at once, because objects are watched.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="1m"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`

	// RetryInterval is the longest wait before a failed run is retried; the first retries are
	// sooner. Defaults to the interval.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	RetryInterval *metav1.Duration `json:"retryInterval,omitempty"`

	// Timeout limits one run: fetching, evaluating, rendering and applying. Objects that were
	// applied before the timeout stay, and the next run continues from there.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="60s"
	// +optional
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// Suspend stops fetches, writes and the correction of drift. Deleting a suspended MeshSync
	// keeps all objects, regardless of the deletion policy.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Mode is Apply, or Observe to report the plan and write nothing.
	// +kubebuilder:default=Apply
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// RoutingDelay is how long new routing to another cluster waits after this cluster fetched the
	// commit, because the other cluster may fetch it later. Defaults to one and a half intervals.
	// 0s disables the delay. A first sync never waits.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	RoutingDelay *metav1.Duration `json:"routingDelay,omitempty"`

	// WithdrawAfter is how long objects that other clusters may still call stay after they left the
	// repository, because other clusters may fetch the commit later. Revoked access and public
	// hosts do not wait. 0s disables the delay.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="1h"
	// +optional
	WithdrawAfter *metav1.Duration `json:"withdrawAfter,omitempty"`

	// Prune configures the deletion of objects that left the repository.
	// +kubebuilder:default={enabled: true, maxPercent: 20}
	// +optional
	Prune Prune `json:"prune,omitempty"`

	// Adopt selects objects of other owners that Isthmus may take over, where the repository has a
	// resource of the same kind, namespace and name. Without it such a resource is refused.
	// +optional
	Adopt *Adopt `json:"adopt,omitempty"`

	// OnError is the effect of a broken service: Freeze keeps the service at its last known good
	// manifest and applies everything else; Halt applies nothing of the commit.
	// +kubebuilder:default=Freeze
	// +optional
	OnError OnError `json:"onError,omitempty"`

	// DeletionPolicy selects what happens to the managed objects when this MeshSync is deleted.
	// Orphan keeps them with their ownership label, and the next MeshSync of the cluster claims
	// them. Delete deletes them, unless another MeshSync waits for the cluster and claims them. A
	// MeshSync that is suspended or in mode Observe does not claim.
	// +kubebuilder:default=Orphan
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// Source is a Git repository, with its credentials and trusted keys.
// +kubebuilder:validation:XValidation:rule="!self.url.startsWith('ssh://') || has(self.secretRef)",message="an ssh:// url needs a secretRef with identity and known_hosts"
// +kubebuilder:validation:XValidation:rule="!has(self.verify) || !has(self.verify.mode) || self.verify.mode == 'HEAD' || (has(self.ref) && (has(self.ref.tag) || has(self.ref.semver)))",message="verify.mode Tag and TagAndHEAD need ref.tag or ref.semver"
type Source struct {
	// URL of the repository: https://…, http://… or ssh://user@host[:port]/path.
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?|ssh)://.+$')",message="the url must begin with https://, http:// or ssh://; instead of git@host:a/b.git write ssh://git@host/a/b.git"
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URL string `json:"url"`

	// Ref selects the commit. Defaults to the default branch of the repository.
	// +optional
	Ref *Ref `json:"ref,omitempty"`

	// SecretRef names a Secret of the same namespace in the format of Flux. For https: username and
	// password, or bearerToken; optionally ca.crt, tls.crt and tls.key. For ssh: identity,
	// known_hosts and optionally password.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Verify requires that the commit, the tag, or both are signed by a trusted key. Without a
	// valid signature nothing is applied.
	// +optional
	Verify *Verify `json:"verify,omitempty"`

	// ProxySecretRef names a Secret of the same namespace with the address of a proxy, and
	// optionally username and password.
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`
}

// Ref selects a commit: by branch, tag or semver, or by commit, optionally with its branch.
// +kubebuilder:validation:XValidation:rule="[has(self.branch), has(self.tag), has(self.semver)].filter(x, x).size() <= 1",message="only one of branch, tag and semver may be given"
// +kubebuilder:validation:XValidation:rule="!has(self.commit) || (!has(self.tag) && !has(self.semver))",message="commit goes alone or with branch, not with tag or semver"
// +kubebuilder:validation:XValidation:rule="has(self.branch) || has(self.tag) || has(self.semver) || has(self.commit)",message="one of branch, tag, semver and commit is needed"
type Ref struct {
	// Branch to follow.
	// +kubebuilder:validation:MinLength=1
	// +optional
	Branch string `json:"branch,omitempty"`

	// Tag to follow. It is checked in every interval, because a tag can be moved.
	// +kubebuilder:validation:MinLength=1
	// +optional
	Tag string `json:"tag,omitempty"`

	// SemVer is a range of versions, such as "1.x". The highest tag in the range is followed.
	// +kubebuilder:validation:MinLength=1
	// +optional
	SemVer string `json:"semver,omitempty"`

	// Commit is the full hash of a commit. Add its branch for servers that do not serve commits by
	// hash.
	// +kubebuilder:validation:Pattern="^[0-9a-f]{40}$"
	// +optional
	Commit string `json:"commit,omitempty"`
}

// Verify configures the verification of signatures.
type Verify struct {
	// Mode is HEAD to verify the commit, Tag to verify the tag that points at it, TagAndHEAD for
	// both.
	// +kubebuilder:validation:Enum=HEAD;Tag;TagAndHEAD
	// +kubebuilder:default=HEAD
	// +optional
	Mode string `json:"mode,omitempty"`

	// SecretRef names a Secret of the same namespace. Each value holds trusted public keys: an
	// armored OpenPGP key ring, or lines of an SSH authorized_keys file.
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`
}

// Prune configures the deletion of objects that left the repository.
type Prune struct {
	// Enabled deletes objects that left the repository. If it is false, they are only reported.
	// +kubebuilder:default=true
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// MaxPercent is the share of the managed objects that one change may delete without an
	// acknowledgement. Fewer than 10 deletions are always allowed.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=20
	// +optional
	MaxPercent *int32 `json:"maxPercent,omitempty"`
}

// Adopt selects objects of other owners by name, by label, or both. Objects of another MeshSync or
// ApplySet, and objects that a controller owns, are never adopted.
// +kubebuilder:validation:XValidation:rule="has(self.names) || has(self.selector)",message="adopt needs names, a selector, or both"
type Adopt struct {
	// Names lists objects as kind, namespace and name, such as "VirtualService/shop/checkout".
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:Pattern="^[A-Za-z]+/[a-z0-9-]+/[a-z0-9.-]+$"
	// +optional
	Names []string `json:"names,omitempty"`

	// Selector selects objects by label. An empty selector selects every object that is also in the
	// repository.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Mode is Observe to list the selected objects in status.adoptable, with the fields that
	// adoption would change, or Apply to adopt them.
	// +kubebuilder:default=Observe
	// +optional
	Mode Mode `json:"mode,omitempty"`
}

// MeshSync keeps the Istio resources of this cluster equal to a shared Git repository.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=meshsyncs,singular=meshsync,shortName=msync,scope=Namespaced
// +kubebuilder:metadata:labels="applyset.kubernetes.io/is-parent-type=true"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.lastAppliedRevision`
// +kubebuilder:printcolumn:name="Services",type=integer,JSONPath=`.status.services`
// +kubebuilder:printcolumn:name="Resources",type=integer,JSONPath=`.status.resources`
// +kubebuilder:printcolumn:name="Drifted",type=integer,JSONPath=`.status.drifted`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
type MeshSync struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec MeshSyncSpec `json:"spec"`
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status MeshSyncStatus `json:"status,omitempty"`
}

// MeshSyncList is a list of MeshSyncs.
// +kubebuilder:object:root=true
type MeshSyncList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshSync `json:"items"`
}

// GetConditions implements the getter of Flux's conditions package.
func (m *MeshSync) GetConditions() []metav1.Condition { return m.Status.Conditions }

// SetConditions implements the setter of Flux's conditions package.
func (m *MeshSync) SetConditions(conditions []metav1.Condition) { m.Status.Conditions = conditions }

// GetInterval returns spec.interval, or one minute for objects that were stored without the
// default.
func (m *MeshSync) GetInterval() time.Duration {
	if m.Spec.Interval.Duration > 0 {
		return m.Spec.Interval.Duration
	}
	return time.Minute
}

// GetRetryInterval returns the longest wait between two retries: spec.retryInterval, or the
// interval.
func (m *MeshSync) GetRetryInterval() time.Duration {
	if m.Spec.RetryInterval != nil && m.Spec.RetryInterval.Duration > 0 {
		return m.Spec.RetryInterval.Duration
	}
	return m.GetInterval()
}

// GetTimeout returns spec.timeout, or one minute for objects that were stored without the default.
func (m *MeshSync) GetTimeout() time.Duration {
	if m.Spec.Timeout.Duration > 0 {
		return m.Spec.Timeout.Duration
	}
	return time.Minute
}

// GetRoutingDelay returns spec.routingDelay, or one and a half intervals.
func (m *MeshSync) GetRoutingDelay() time.Duration {
	if m.Spec.RoutingDelay == nil {
		return m.GetInterval() * 3 / 2
	}
	return m.Spec.RoutingDelay.Duration
}

// GetWithdrawAfter returns spec.withdrawAfter, or one hour for objects that were stored without the
// default.
func (m *MeshSync) GetWithdrawAfter() time.Duration {
	if m.Spec.WithdrawAfter == nil {
		return time.Hour
	}
	return m.Spec.WithdrawAfter.Duration
}

// PruneEnabled reports whether objects that left the repository are deleted.
func (m *MeshSync) PruneEnabled() bool { return m.Spec.Prune.Enabled == nil || *m.Spec.Prune.Enabled }

// GetMaxPrunePercent returns the share of the managed objects that one change may delete without an
// acknowledgement.
func (m *MeshSync) GetMaxPrunePercent() int {
	if m.Spec.Prune.MaxPercent == nil {
		return 20
	}
	return int(*m.Spec.Prune.MaxPercent)
}
