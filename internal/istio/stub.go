package istio

import (
	_ "embed" // for the directive below
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	"sigs.k8s.io/yaml"
)

//go:embed stub.yaml
var stubFile []byte

// stubForm ends the first violation of a Service's spec. A Service with a selector, an address from outside or a port on the nodes would
// let a mesh repository take traffic that is none of the mesh's.
const stubForm = "a mesh repository may render a Service only as a stub, the name of a service that runs in other clusters: " +
	"TCP ports, each with a name, a port and at most an appProtocol, without a selector and of type ClusterIP"

// addStub makes the validator take Services of the form of stub.yaml.
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
	// What every API server takes. One with RelaxedServiceNameValidation, new in Kubernetes 1.34, lets a name begin with a digit.
	k.name = validation.NameIsDNS1035Label
	v.kinds[corev1.SchemeGroupVersion.WithKind(stub.Spec.Names.Kind)] = k
	return nil
}

// completeStub fills in the one default that depends on another field and so cannot stand in stub.yaml. Addresses and their families
// are left out: the API server allots them, each cluster other ones.
func completeStub(object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	ports, _ := spec["ports"].([]any)
	for _, item := range ports {
		if port, ok := item.(map[string]any); ok && port["targetPort"] == nil && port["port"] != nil {
			port["targetPort"] = port["port"]
		}
	}
}

// withForm adds what may be rendered to the first of the violations that are about it.
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
