package v1alpha1

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Mode says whether a plan is carried out.
// +kubebuilder:validation:Enum=Apply;Observe
type Mode string

// Modes of a MeshSync.
const (
	ModeApply   Mode = "Apply"
	ModeObserve Mode = "Observe"
)

// OnError says what a broken service does to the others.
// +kubebuilder:validation:Enum=Freeze;Halt
type OnError string

// What a broken service does to the others of a commit.
const (
	OnErrorFreeze OnError = "Freeze"
	OnErrorHalt   OnError = "Halt"
)

// DeletionPolicy says what becomes of the managed objects when the MeshSync is deleted.
// +kubebuilder:validation:Enum=Orphan;Delete
type DeletionPolicy string

// Deletion policies of a MeshSync.
const (
	DeletionOrphan DeletionPolicy = "Orphan"
	DeletionDelete DeletionPolicy = "Delete"
)

// MeshSyncSpec says which repository this cluster follows, and as which cluster of its inventory.
type MeshSyncSpec struct {
	// Cluster is the name of this cluster in the inventory of the mesh repository.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Cluster string `json:"cluster"`

	// Source is the Git repository that all clusters of the mesh share.
	// +required
	Source Source `json:"source"`

	// Path is the folder of the repository that holds the mesh (cue.mod and mesh.cue); the root if not set.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(p, p == '..')",message="path must be inside the repository: neither absolute nor with '..'"
	// +optional
	Path string `json:"path,omitempty"`

	// Interval at which the repository is looked at, give or take the controller's jitter.
	// Drift in the cluster does not wait for it: it is seen by watching.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="1m"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`

	// RetryInterval is the longest wait before a failed run is tried again; the first retries come sooner.
	// The interval if not set.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	RetryInterval *metav1.Duration `json:"retryInterval,omitempty"`

	// Timeout of one whole run: fetching, evaluating, rendering and applying. What was applied before it
	// ran out stays, and the next run goes on from there.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="60s"
	// +optional
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// Suspend stops everything: no fetch, no write, no correction of drift. A MeshSync that is deleted while
	// suspended leaves all objects behind, whatever its deletion policy.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Mode is Apply, or Observe to make the plan, report it and write nothing.
	// +kubebuilder:default=Apply
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// RoutingDelay is how long what newly leads callers to another cluster waits, after this one saw the commit: the other one sees it at another
	// moment. One and a half intervals if not set. With 0s nothing waits, and nothing does in a first sync.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +optional
	RoutingDelay *metav1.Duration `json:"routingDelay,omitempty"`

	// WithdrawAfter is how long what other clusters may still call stays after it left the repository: they see a commit at other moments than
	// this one. Access that ends, and what is public, does not wait. With 0s nothing does.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:default="1h"
	// +optional
	WithdrawAfter *metav1.Duration `json:"withdrawAfter,omitempty"`

	// Prune says whether and how much may be deleted.
	// +kubebuilder:default={enabled: true, maxPercent: 20}
	// +optional
	Prune Prune `json:"prune,omitempty"`

	// Adopt chooses objects that Isthmus did not write and that it may take over where the repository has one of the same kind, namespace and name. None
	// if not set: such a resource is refused.
	// +optional
	Adopt *Adopt `json:"adopt,omitempty"`

	// OnError is what a broken service does to the others of a commit: Freeze keeps it as it was when it was good last, and applies
	// everything else; Halt applies nothing of the commit.
	// +kubebuilder:default=Freeze
	// +optional
	OnError OnError `json:"onError,omitempty"`

	// DeletionPolicy is what becomes of the managed objects when this MeshSync is deleted: Orphan leaves them, marked, and
	// the next MeshSync of the cluster claims them; Delete removes them, unless another MeshSync waits for the cluster, which claims them. One that is
	// suspended or only observes does not count.
	// +kubebuilder:default=Orphan
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// Source is a Git repository and what is needed to read and to trust it.
// +kubebuilder:validation:XValidation:rule="!self.url.startsWith('ssh://') || has(self.secretRef)",message="an ssh:// url needs a secretRef with identity and known_hosts"
// +kubebuilder:validation:XValidation:rule="!has(self.verify) || !has(self.verify.mode) || self.verify.mode == 'HEAD' || (has(self.ref) && (has(self.ref.tag) || has(self.ref.semver)))",message="verify.mode Tag and TagAndHEAD need ref.tag or ref.semver"
type Source struct {
	// URL of the repository: https://…, http://… or ssh://user@host[:port]/path.
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?|ssh)://.+$')",message="the url must begin with https://, http:// or ssh://; instead of git@host:a/b.git write ssh://git@host/a/b.git"
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URL string `json:"url"`

	// Ref is what to follow; the branch that the repository itself calls its default if not set.
	// +optional
	Ref *Ref `json:"ref,omitempty"`

	// SecretRef names a Secret of the same namespace in Flux's format: username and password, or bearerToken, with an optional
	// ca.crt, tls.crt and tls.key for https; identity, known_hosts and an optional password for ssh.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Verify demands that the commit, the tag, or both are signed by a trusted key. Without a good signature nothing is applied.
	// +optional
	Verify *Verify `json:"verify,omitempty"`

	// ProxySecretRef names a Secret of the same namespace with address and optionally username and password of a proxy.
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`
}

// Ref says which commit to follow. At most one of branch, tag and semver; commit alone, or with the branch that holds it.
// +kubebuilder:validation:XValidation:rule="[has(self.branch), has(self.tag), has(self.semver)].filter(x, x).size() <= 1",message="only one of branch, tag and semver may be given"
// +kubebuilder:validation:XValidation:rule="!has(self.commit) || (!has(self.tag) && !has(self.semver))",message="commit goes alone or with branch, not with tag or semver"
// +kubebuilder:validation:XValidation:rule="has(self.branch) || has(self.tag) || has(self.semver) || has(self.commit)",message="one of branch, tag, semver and commit is needed"
type Ref struct {
	// Branch to follow.
	// +kubebuilder:validation:MinLength=1
	// +optional
	Branch string `json:"branch,omitempty"`

	// Tag to follow; it is looked at again in every interval, since a tag can be moved.
	// +kubebuilder:validation:MinLength=1
	// +optional
	Tag string `json:"tag,omitempty"`

	// SemVer is a range of versions, "1.x"; the highest tag within it is followed.
	// +kubebuilder:validation:MinLength=1
	// +optional
	SemVer string `json:"semver,omitempty"`

	// Commit pins a commit by its full hash. A branch beside it says where to look on servers that do not serve a commit by its hash.
	// +kubebuilder:validation:Pattern="^[0-9a-f]{40}$"
	// +optional
	Commit string `json:"commit,omitempty"`
}

// Verify says what must be signed, and by whom.
type Verify struct {
	// Mode is HEAD for the commit, Tag for the tag that points at it, TagAndHEAD for both.
	// +kubebuilder:validation:Enum=HEAD;Tag;TagAndHEAD
	// +kubebuilder:default=HEAD
	// +optional
	Mode string `json:"mode,omitempty"`

	// SecretRef names a Secret of the same namespace; each of its values is a trusted public key: an armoured OpenPGP key (ring)
	// or lines of an SSH authorized_keys file.
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`
}

// Prune says whether and how much may be deleted.
type Prune struct {
	// Enabled lets objects that left the repository be deleted; where it is false they are reported.
	// +kubebuilder:default=true
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// MaxPercent of the managed objects that one change may delete, if that is at least 10 objects, without being held for
	// acknowledgement.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:default=20
	// +optional
	MaxPercent *int32 `json:"maxPercent,omitempty"`
}

// Adopt chooses objects that somebody else wrote, by name, by label, or both. What belongs to another MeshSync or ApplySet, or is made by a controller, is
// never taken over.
// +kubebuilder:validation:XValidation:rule="has(self.names) || has(self.selector)",message="adopt needs names, a selector, or both"
type Adopt struct {
	// Names are objects, "VirtualService/shop/checkout".
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:Pattern="^[A-Za-z]+/[a-z0-9-]+/[a-z0-9.-]+$"
	// +optional
	Names []string `json:"names,omitempty"`

	// Selector chooses by label; an empty one takes every object that the repository has as well.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Mode is Observe to list in status.adoptable what would be taken over, and which fields that would change, or Apply to do it.
	// +kubebuilder:default=Observe
	// +optional
	Mode Mode `json:"mode,omitempty"`
}

// MeshSync keeps this cluster's Istio resources equal to what a shared Git repository says for it.
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

// GetInterval returns spec.interval, or one minute for objects that were stored without the default.
func (m *MeshSync) GetInterval() time.Duration {
	if m.Spec.Interval.Duration > 0 {
		return m.Spec.Interval.Duration
	}
	return time.Minute
}

// GetRetryInterval returns the longest wait between two retries: spec.retryInterval, or the interval.
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
