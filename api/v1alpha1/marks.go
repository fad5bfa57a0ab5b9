package v1alpha1

// Marks on a MeshSync.
const (
	// Finalizer lets the deletion policy be carried out before a MeshSync goes.
	Finalizer = "isthmus.dev/finalizer"

	// AcknowledgeAnnotation holds the digest of a held change set (status.held.digest) that a person lets
	// pass on this cluster. The digest covers what is lost, so the annotation may stay: another loss, also of another
	// cluster by the same commit, has another digest.
	AcknowledgeAnnotation = "isthmus.dev/acknowledge"

	// InheritsAnnotation lists the ApplySet ids of MeshSyncs that are gone and handed their objects over to this one, with commas between.
	InheritsAnnotation = "isthmus.dev/inherits"

	// ApplySetIDLabel and ApplySetToolingAnnotation mark the MeshSync as the parent of an ApplySet
	// (KEP-3659), so that kubectl and others see whose members the managed objects are.
	ApplySetIDLabel           = "applyset.kubernetes.io/id"
	ApplySetToolingAnnotation = "applyset.kubernetes.io/tooling"
	// ApplySetTooling is the value of ApplySetToolingAnnotation.
	ApplySetTooling = "isthmus/v1alpha1"
)
