package v1alpha1

// Finalizer, annotations and labels of a MeshSync.
const (
	// Finalizer delays the deletion of a MeshSync until its deletion policy is carried out.
	Finalizer = "isthmus.dev/finalizer"

	// AcknowledgeAnnotation is the digest of a held plan (status.held.digest) that a user
	// acknowledges for this cluster. The digest covers exactly what is lost. Any other loss has
	// another digest, so the annotation may stay.
	AcknowledgeAnnotation = "isthmus.dev/acknowledge"

	// InheritsAnnotation lists the ApplySet ids of deleted MeshSyncs that handed their objects over
	// to this one, separated by commas.
	InheritsAnnotation = "isthmus.dev/inherits"

	// ApplySetIDLabel and ApplySetToolingAnnotation mark the MeshSync as the parent of an ApplySet
	// (KEP-3659), so that kubectl and other tools know the owner of the managed objects.
	ApplySetIDLabel           = "applyset.kubernetes.io/id"
	ApplySetToolingAnnotation = "applyset.kubernetes.io/tooling"
	// ApplySetTooling is the value of ApplySetToolingAnnotation.
	ApplySetTooling = "isthmus/v1alpha1"
)
