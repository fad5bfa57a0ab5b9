package apiserver

import (
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/config"
)

// OwnCRD is that of MeshSync, as an installation has it.
func OwnCRD() (*apiextensionsv1.CustomResourceDefinition, error) {
	own := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(config.CRD, own); err != nil {
		return nil, fmt.Errorf("the CRD of MeshSync: %w", err)
	}
	return own, nil
}
