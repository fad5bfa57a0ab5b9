package istio

import (
	"embed"
	"encoding/json"
	"fmt"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

//go:generate go run ./gen

// The folder and not *.json, so that the generator, which imports this package, builds without
// files.
//
//go:embed crds
var crdFiles embed.FS

var decodeCRDs = sync.OnceValues(func() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	crds := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(Kinds))
	for _, kind := range Kinds {
		if kind.BuiltIn() {
			continue
		}
		name := kind.Resource + "." + kind.Group
		raw, err := crdFiles.ReadFile("crds/" + name + ".json")
		if err != nil {
			return nil, fmt.Errorf("the CRD of %s is not embedded; run go generate ./internal/istio: %w", kind.Kind, err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := json.Unmarshal(raw, crd); err != nil {
			return nil, fmt.Errorf("the embedded CRD %s cannot be read; run go generate ./internal/istio: %w", name, err)
		}
		crds = append(crds, crd)
	}
	return crds, nil
})

// CRDs returns copies of Istio's CRDs of the managed kinds, in the order of [Kinds], without
// built-in kinds.
//
// Each CRD has only the version that Isthmus writes, and no descriptions. This is enough for API
// servers without Istio, in tests and in the demo. Do not install them in a cluster with Istio.
func CRDs() []*apiextensionsv1.CustomResourceDefinition {
	crds, err := decodeCRDs()
	if err != nil {
		// The files are embedded, so this is a broken build.
		panic(err)
	}
	out := make([]*apiextensionsv1.CustomResourceDefinition, len(crds))
	for i, crd := range crds {
		out[i] = crd.DeepCopy()
	}
	return out
}
