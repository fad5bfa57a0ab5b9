package clustercache

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// LabelCreatedBy marks a namespace that Isthmus created, with the value CreatedByIsthmus. It carries no
// ownership: a namespace is never changed nor deleted, since what people put into it is not ours to delete.
const (
	LabelCreatedBy   = "isthmus.dev/created-by"
	CreatedByIsthmus = "isthmus"
)

// Namespace is what a plan must know of a namespace that exists.
type Namespace struct {
	// CreatedByUs is set if Isthmus created it.
	CreatedByUs bool
	// Terminating namespaces take no new objects.
	Terminating bool
}

func namespaceOf(object *unstructured.Unstructured) Namespace {
	return Namespace{CreatedByUs: object.GetLabels()[LabelCreatedBy] == CreatedByIsthmus, Terminating: object.GetDeletionTimestamp() != nil}
}

var NamespaceResource = corev1.SchemeGroupVersion.WithResource("namespaces")
