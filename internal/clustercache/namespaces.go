package clustercache

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// LabelCreatedBy marks a namespace that Isthmus created, with the value CreatedByIsthmus. It is no
// mark of ownership: a namespace is never changed or deleted, because users put their own objects
// into it.
const (
	LabelCreatedBy   = "isthmus.dev/created-by"
	CreatedByIsthmus = "isthmus"
)

// Namespace is what a plan needs to know of an existing namespace.
type Namespace struct {
	// CreatedByUs is set if Isthmus created it.
	CreatedByUs bool
	// Terminating namespaces take no new objects.
	Terminating bool
}

func namespaceOf(object *unstructured.Unstructured) Namespace {
	return Namespace{CreatedByUs: object.GetLabels()[LabelCreatedBy] == CreatedByIsthmus, Terminating: object.GetDeletionTimestamp() != nil}
}

// NamespaceResource is the resource of namespaces.
var NamespaceResource = corev1.SchemeGroupVersion.WithResource("namespaces")
