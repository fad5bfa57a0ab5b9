package plans

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Reason is why an action is not a plain write. It explains and decides nothing. Each reason is a
// type of its own with the facts as fields; String is the sentence for a user.
type Reason fmt.Stringer

// ForeignAdvice is what a user can do about a foreign object, the least harmful step first.
const ForeignAdvice = "take it over in place with spec.adopt of the MeshSync (docs/operate.md), or rename the service, or delete it"

// MissingKind means: the cluster does not know the kind.
type MissingKind struct{ Kind, GroupVersion string }

func (r MissingKind) String() string {
	return fmt.Sprintf("the cluster does not know the kind %s (%s); install the CRDs of Istio 1.30.4 or newer", r.Kind, r.GroupVersion)
}

// TerminatingNamespace means: the namespace takes no new objects.
type TerminatingNamespace struct{ Namespace string }

func (r TerminatingNamespace) String() string {
	return "namespace " + r.Namespace + " is being deleted; the object is created when the namespace exists again"
}

// ForeignObject means: an object of that name has another owner. PartOf is its ApplySet, "" if none.
type ForeignObject struct{ PartOf string }

func (r ForeignObject) String() string {
	if r.PartOf != "" {
		return "it belongs to another MeshSync or ApplySet (" + r.PartOf + ") and is not taken over; rename the service, or delete it there"
	}
	return "an object of that name exists that Isthmus did not write; it is not changed; " + ForeignAdvice
}

// ControlledObject means: spec.adopt selects an object that a controller owns.
type ControlledObject struct{ Kind, Name string }

func (r ControlledObject) String() string {
	return fmt.Sprintf("spec.adopt selects it, but %s %s owns it and would revert the change; delete that, or rename the service", r.Kind, r.Name)
}

// NotAdoptable means: spec.adopt selects an object of another ApplySet.
type NotAdoptable struct{ Object ForeignObject }

func (r NotAdoptable) String() string { return "spec.adopt selects it, but " + r.Object.String() }

// AdoptionObserved means: spec.adopt selects the object and only observes.
type AdoptionObserved struct{}

func (AdoptionObserved) String() string {
	return "an object of that name exists that Isthmus did not write; spec.adopt selects it: set spec.adopt.mode to Apply to take it over"
}

// OptedOut means: a user set an annotation that forbids the write.
type OptedOut struct{ Annotation string }

func (r OptedOut) String() string {
	return "a user opted it out: annotation " + r.Annotation + " is " + ownership.Disabled
}

// BeingDeleted means: the object waits for its finalizers. Recreate is set if the bundle has it.
type BeingDeleted struct {
	Finalizers string
	Recreate   bool
}

func (r BeingDeleted) String() string {
	wait := "its grace period"
	if r.Finalizers != "" {
		wait = "finalizer " + r.Finalizers
	}
	if r.Recreate {
		return "it is being deleted and waits for " + wait + "; it is created again when it is gone"
	}
	return "it is being deleted and waits for " + wait
}

// LabelOnlyObject means: it has our label, Isthmus did not write it, and it is not in the bundle.
type LabelOnlyObject struct{}

func (LabelOnlyObject) String() string {
	return "it has the label " + ownership.LabelPartOf + " of this MeshSync, but Isthmus did not write it and the repository does not have it; " +
		"it is not changed: remove the label to keep it, or delete it"
}

// LabelRemoved means: Isthmus wrote it, its label was removed, and it is not in the bundle.
type LabelRemoved struct{}

func (LabelRemoved) String() string {
	return "Isthmus wrote it, its label " + ownership.LabelPartOf + " was removed or changed, and the repository no longer has it; " +
		"it is not changed: delete it if it is not needed"
}

// PruneDisabled means: the MeshSync does not prune.
type PruneDisabled struct{}

func (PruneDisabled) String() string {
	return "pruning is disabled: spec.prune.enabled of the MeshSync is false"
}

// UnknownServices means: broken services have no known last good manifest, so the object may be theirs.
type UnknownServices struct {
	// Services are the broken services, abbreviated; Cause is why their manifests are unknown.
	Services, Cause string
}

func (r UnknownServices) String() string {
	return "it may belong to what is broken in the repository (" + r.Services + "), and " + r.Cause
}

// FightBackoff means: another writer keeps changing the object, so it is corrected less often.
type FightBackoff struct {
	Manager     string
	Corrections int
}

func (r FightBackoff) String() string {
	return fmt.Sprintf("%s keeps changing this object (%d corrections). The next correction is delayed. "+
		"Let only one of the two write it: set the annotation %s=%s, or change the configuration of %s",
		r.Manager, r.Corrections, ownership.AnnotationReconcile, ownership.Disabled, r.Manager)
}

// BehindRefusal means: another object of the same service is refused, so the old one stays.
type BehindRefusal struct{ Refused render.Key }

func (r BehindRefusal) String() string {
	return fmt.Sprintf("it is deleted when %s of the same service can be applied", r.Refused)
}

// MissingVersions means: a route leads to versions that a refused DestinationRule lacks.
type MissingVersions struct {
	Versions string
	Rule     render.Key
}

func (r MissingVersions) String() string {
	return fmt.Sprintf("it routes to version %s, which %s lacks until it can be applied", r.Versions, r.Rule)
}

// Withdrawal means: the object left the bundle, and other clusters may still call it.
type Withdrawal struct {
	Until time.Time
	After time.Duration
}

func (r Withdrawal) String() string {
	return fmt.Sprintf("other clusters may still call it; it is deleted at %s (spec.withdrawAfter is %s)", r.Until.UTC().Format(time.RFC3339), r.After)
}

// Deferral means: other clusters have to publish an endpoint first.
type Deferral struct{ Until time.Time }

func (r Deferral) String() string {
	return "it waits until " + r.Until.UTC().Format(time.RFC3339) + ", so that other clusters can publish the endpoints first"
}

func foreignObject(live *unstructured.Unstructured) ForeignObject {
	return ForeignObject{PartOf: live.GetLabels()[ownership.LabelPartOf]}
}

func beingDeleted(live *unstructured.Unstructured, recreate bool) BeingDeleted {
	return BeingDeleted{Finalizers: strings.Join(live.GetFinalizers(), ", "), Recreate: recreate}
}
