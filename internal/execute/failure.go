package execute

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Class is the kind of a failure, which tells who has to act.
type Class string

const (
	// Forbidden: the role of the controller lacks a permission.
	Forbidden Class = "Forbidden"
	// OverQuota: a ResourceQuota of the namespace leaves no room for the object.
	OverQuota Class = "OverQuota"
	// Invalid: the API server, an admission webhook or a policy rejected the object.
	Invalid Class = "Invalid"
	// Appeared: a foreign object of that name was created between plan and write.
	Appeared Class = "Appeared"
	// Altered: the cluster changed the object when it was written, so every run would write it
	// again.
	Altered Class = "Altered"
	// NoSuchKind: the CRD is missing or too old.
	NoSuchKind Class = "NoSuchKind"
	// NamespaceUnusable: the namespace is absent or being deleted.
	NamespaceUnusable Class = "NamespaceUnusable"
	// Conflict: another writer was faster, or the cache was behind. The next run plans again.
	Conflict Class = "Conflict"
	// Transient: the API server could not be reached or was overloaded, or the run was
	// interrupted.
	Transient Class = "Transient"
)

// Temporary reports whether a retry may succeed without an action of a user.
func (c Class) Temporary() bool { return c == Conflict || c == Transient }

// Failure is one write that did not succeed.
type Failure struct {
	Class   Class
	Verb    plans.Verb
	Key     render.Key
	Service string
	Err     error
}

// Error says what failed, for which service, what was not changed, and what to do.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", f.Verb, f.Key)
	if f.Service != "" {
		fmt.Fprintf(&b, " of service %s", f.Service)
	}
	fmt.Fprintf(&b, ": %v; %s", f.Err, f.consequence())
	return b.String()
}

// Unwrap returns the error of the API server.
func (f *Failure) Unwrap() error { return f.Err }

func (f *Failure) consequence() string {
	switch f.Class {
	case Forbidden:
		return "nothing was changed; add the permission to the controller's role, or generate the role again for the managed kinds"
	case OverQuota:
		return "nothing was changed; raise the ResourceQuota of the namespace, or remove objects from it"
	case Invalid:
		return "nothing was changed; correct the manifest, or the policy that rejects it"
	case Appeared:
		return "nothing was changed; " + plans.ForeignAdvice
	case Altered:
		return "it was written, but an older CRD or a webhook changed it; upgrade Istio's CRDs or exempt " + ownership.FieldManager + " from the webhook"
	case NoSuchKind:
		return "nothing was changed; install the CRDs of Istio 1.30.4 or newer"
	case NamespaceUnusable:
		return "nothing was changed; it is applied when the namespace exists"
	case Conflict:
		return "nothing was changed; the next run plans again"
	default:
		return "it may or may not have been written; the next run checks it"
	}
}

// HeldError is returned for a plan that a guard holds.
type HeldError struct{ Guard plans.Guard }

func (e *HeldError) Error() string {
	return fmt.Sprintf("held (%s): %s; nothing was changed; to acknowledge it, add %s to settings.acknowledge "+
		"in the repository, next to the digests of other held clusters, or set the annotation isthmus.dev/acknowledge of the MeshSync",
		e.Guard.Kind, e.Guard.Reason, e.Guard.Digest)
}

func failure(action plans.Action, err error) *Failure {
	class := classify(err)
	// An error that is classified already does not name its action.
	if known := (*Failure)(nil); errors.As(err, &known) {
		err = known.Err
	}
	return &Failure{Class: class, Verb: action.Verb, Key: action.Key, Service: action.Service, Err: err}
}

// classify reads the answer of the API server. The order matters: one status code has several
// meanings.
func classify(err error) Class {
	var known *Failure
	switch {
	case errors.As(err, &known):
		return known.Class
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return NamespaceUnusable
	case apierrors.IsNotFound(err):
		return classifyNotFound(err)
	case isDenial(err):
		return Invalid
	case isOverQuota(err):
		return OverQuota
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return Forbidden
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return Invalid
	case apierrors.IsConflict(err):
		return Conflict
	default:
		return Transient
	}
}

func classifyNotFound(err error) Class {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if details := status.Status().Details; details != nil && details.Kind == "namespaces" {
			return NamespaceUnusable
		}
	}
	// The server does not know the path, so the kind is missing and not the object.
	if apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return NoSuchKind
	}
	return Conflict
}

// A ResourceQuota also answers 403, and only the text tells; see
// k8s.io/apiserver/pkg/admission/plugin/resourcequota.
func isOverQuota(err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	for _, text := range []string{"exceeded quota: ", "failed quota: ", "status unknown for quota: ", "insufficient quota to "} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// A webhook or a policy may deny with 403, which is not a missing permission, with any other code,
// and without a reason.
func isDenial(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	says := func(text string) bool { return strings.Contains(err.Error(), text) }
	return says("admission webhook") && says("denied the request") || says("ValidatingAdmissionPolicy '") && says("denied request: ")
}
