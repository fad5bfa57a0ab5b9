package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func KeyOf(object *unstructured.Unstructured) Key {
	return Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
}
