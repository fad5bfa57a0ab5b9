package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is isthmus.dev/v1alpha1.
var GroupVersion = schema.GroupVersion{Group: "isthmus.dev", Version: "v1alpha1"}

// MeshSyncKind is the kind of a MeshSync.
const MeshSyncKind = "MeshSync"

// AddToScheme registers the types of this package in a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &MeshSync{}, &MeshSyncList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
