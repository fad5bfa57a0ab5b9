package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// KeyOf is the key of an object.
func KeyOf(object *unstructured.Unstructured) Key {
	return Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
}
