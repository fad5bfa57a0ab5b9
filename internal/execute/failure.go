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

// Class says what kind of failure it was, and so who has to act.
type Class string

const (
	// Forbidden: the controller's role lacks a right.
	Forbidden Class = "Forbidden"
	// OverQuota: a ResourceQuota of the namespace leaves no room for the object.
	OverQuota Class = "OverQuota"
	// Invalid: the API server, or an admission webhook or policy, refused the object.
	Invalid Class = "Invalid"
	// Appeared: an object of that name that is not ours came into being between plan and write.
	Appeared Class = "Appeared"
	// Altered: it was written, and the cluster made something else of it, so every run would write it again.
	Altered Class = "Altered"
	// NoSuchKind: the CRD is missing or too old.
	NoSuchKind Class = "NoSuchKind"
	// NamespaceUnusable: the namespace is absent or being deleted.
	NamespaceUnusable Class = "NamespaceUnusable"
	// Conflict: somebody else was faster, or our view was behind. The next run plans anew.
	Conflict Class = "Conflict"
	// Transient: the API server could not be reached or was overloaded, or the run was cut off.
	Transient Class = "Transient"
)

// Temporary reports whether trying again soon may help, without a person doing anything.
func (c Class) Temporary() bool { return c == Conflict || c == Transient }

// Failure is one write that did not succeed.
type Failure struct {
	Class   Class
	Verb    plans.Verb
	Key     render.Key
	Service string
	Err     error
}

// Error says what failed, for which service, what was left untouched, and what to do.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", f.Verb, f.Key)
	if f.Service != "" {
		fmt.Fprintf(&b, " of service %s", f.Service)
	}
	fmt.Fprintf(&b, ": %v; %s", f.Err, f.consequence())
	return b.String()
}

// Unwrap gives access to the API server's own error.
func (f *Failure) Unwrap() error { return f.Err }

func (f *Failure) consequence() string {
	switch f.Class {
	case Forbidden:
		return "nothing was changed; give the controller's role the right, or have the role generated again for the managed kinds"
	case OverQuota:
		return "nothing was changed; raise the ResourceQuota of the namespace, or take something out of it"
	case Invalid:
		return "nothing was changed; mend the manifest, or the policy that refuses it"
	case Appeared:
		return "nothing was changed, and it is left alone; " + plans.ForeignAdvice
	case Altered:
		return "it was written, but an older CRD or a webhook alters it; upgrade Istio's CRDs or exempt " + ownership.FieldManager + " from the webhook"
	case NoSuchKind:
		return "nothing was changed; install the CRDs of Istio 1.30.4 or newer"
	case NamespaceUnusable:
		return "nothing was changed; it is applied when the namespace is there"
	case Conflict:
		return "nothing was changed; the next run starts from the new state"
	default:
		return "it may or may not have been written; the next run finds out"
	}
}

// BrakedError is returned for a plan that a brake holds.
type HeldError struct{ Guard plans.Guard }

func (e *HeldError) Error() string {
	return fmt.Sprintf("held (%s): %s; nothing was changed: to let it pass, put %s into settings.acknowledge "+
		"of the repository, beside the digests of other clusters that are held, or into the annotation isthmus.dev/acknowledge of the MeshSync",
		e.Guard.Kind, e.Guard.Reason, e.Guard.Digest)
}

func failure(action plans.Action, err error) *Failure {
	class := classify(err)
	// What is classified already does not know of which action it was.
	if known := (*Failure)(nil); errors.As(err, &known) {
		err = known.Err
	}
	return &Failure{Class: class, Verb: action.Verb, Key: action.Key, Service: action.Service, Err: err}
}

// classify reads the API server's answer. The order matters: one status code has several meanings.
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
	// The path itself is unknown to the server, unlike an object that is gone.
	if apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return NoSuchKind
	}
	return Conflict
}

// A ResourceQuota refuses with 403, too, and only the text tells; see k8s.io/apiserver/pkg/admission/plugin/resourcequota.
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

// A webhook or a policy may deny with 403, which is not a lack of rights, with any other code, and without a reason.
func isDenial(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	says := func(text string) bool { return strings.Contains(err.Error(), text) }
	return says("admission webhook") && says("denied the request") || says("ValidatingAdmissionPolicy '") && says("denied request: ")
}
