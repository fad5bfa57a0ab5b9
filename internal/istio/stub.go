package istio

import (
	_ "embed" // for go:embed
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"sigs.k8s.io/yaml"
)

//go:embed stub.yaml
var stubFile []byte

// stubForm is appended to the first violation of a Service's spec. With a selector, an external
// address or a node port, a mesh repository could capture traffic outside the mesh.
const stubForm = "a mesh repository may render a Service only as a stub, the name of a service that runs in other clusters: " +
	"type ClusterIP, no selector, and TCP ports with a name, a port and an optional appProtocol"

// addStub adds the schema of stub.yaml for Services.
func (v *Validator) addStub() error {
	stub := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(stubFile, stub); err != nil {
		return fmt.Errorf("the embedded stub.yaml cannot be read: %w", err)
	}
	k, err := newKindSchema(stub, stub.Spec.Versions[0])
	if err != nil {
		return fmt.Errorf("the embedded stub.yaml: %w", err)
	}
	k.form = stubForm
	// All API servers accept these names. With RelaxedServiceNameValidation, new in Kubernetes
	// 1.34, a name may start with a digit.
	k.name = validation.NameIsDNS1035Label
	v.kinds[corev1.SchemeGroupVersion.WithKind(stub.Spec.Names.Kind)] = k
	return nil
}

// completeStub sets targetPort, whose default depends on another field and so cannot be in
// stub.yaml. Addresses and IP families have no defaults here, because each API server assigns its
// own.
func completeStub(object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	ports, _ := spec["ports"].([]any)
	for _, item := range ports {
		if port, ok := item.(map[string]any); ok && port["targetPort"] == nil && port["port"] != nil {
			port["targetPort"] = port["port"]
		}
	}
}

// withForm appends the allowed form to the first violation of spec or status.
func (k *kindSchema) withForm(violations []Violation) []Violation {
	if k.form == "" {
		return violations
	}
	for i, violation := range violations {
		if violation.Path == "spec" || violation.Path == "status" || strings.HasPrefix(violation.Path, "spec.") {
			violations[i].Message += "; " + k.form
			break
		}
	}
	return violations
}
