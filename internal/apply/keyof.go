package apply

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

func keyOf(object *unstructured.Unstructured) render.Key {
	return render.Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
}
