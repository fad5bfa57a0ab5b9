package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// reduce converts Istio's CRD file to the files to embed, by name: a CRD for each managed kind,
// with the version that Isthmus writes, without descriptions and Helm's metadata.
func reduce(origin []byte) (map[string][]byte, error) {
	byName := map[string]*apiextensionsv1.CustomResourceDefinition{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(origin), 4096)
	for {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		err := decoder.Decode(crd)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("a document is not a CRD: %w", err)
		}
		byName[crd.Name] = crd
	}

	files := map[string][]byte{}
	for _, kind := range istio.Kinds {
		if kind.BuiltIn() {
			continue
		}
		name := kind.Resource + "." + kind.Group
		crd, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("CRD %s of istio.Kinds is missing", name)
		}
		reduced, err := reduceOne(crd, kind)
		if err != nil {
			return nil, fmt.Errorf("CRD %s: %w", name, err)
		}
		content, err := marshal(reduced)
		if err != nil {
			return nil, fmt.Errorf("CRD %s: %w", name, err)
		}
		files[name+".json"] = content
	}
	return files, nil
}

func reduceOne(crd *apiextensionsv1.CustomResourceDefinition, kind istio.Kind) (*apiextensionsv1.CustomResourceDefinition, error) {
	if crd.Spec.Names.Kind != kind.Kind {
		return nil, fmt.Errorf("its kind is %s, but %s in istio.Kinds", crd.Spec.Names.Kind, kind.Kind)
	}
	for _, version := range crd.Spec.Versions {
		if version.Name != kind.Version {
			continue
		}
		if !version.Served {
			return nil, fmt.Errorf("version %s is not served", version.Name)
		}
		// Another version may be the stored one (Telemetry stores v1alpha1). API servers reject a
		// CRD without a stored version.
		version.Storage = true
		strip(version.Schema.OpenAPIV3Schema)
		for i := range version.AdditionalPrinterColumns {
			version.AdditionalPrinterColumns[i].Description = ""
		}
		reduced := &apiextensionsv1.CustomResourceDefinition{
			TypeMeta:   crd.TypeMeta,
			ObjectMeta: metav1.ObjectMeta{Name: crd.Name},
			Spec:       *crd.Spec.DeepCopy(),
		}
		reduced.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{version}
		return reduced, nil
	}
	return nil, fmt.Errorf("it has no version %s", kind.Version)
}

// strip removes the descriptions of a schema, which are nine tenths of its size.
func strip(s *apiextensionsv1.JSONSchemaProps) {
	if s == nil {
		return
	}
	s.Description = ""
	if s.Items != nil {
		strip(s.Items.Schema)
	}
	if s.AdditionalProperties != nil {
		strip(s.AdditionalProperties.Schema)
	}
	strip(s.Not)
	for _, list := range [][]apiextensionsv1.JSONSchemaProps{s.AllOf, s.AnyOf, s.OneOf} {
		for i := range list {
			strip(&list[i])
		}
	}
	for name, property := range s.Properties {
		strip(&property)
		s.Properties[name] = property
	}
}

// marshal encodes the CRD with one value per line, so that a new version of Istio has a readable
// diff.
func marshal(crd *apiextensionsv1.CustomResourceDefinition) ([]byte, error) {
	raw, err := json.Marshal(crd)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	// The status has required fields, so it is encoded even if it is empty.
	delete(object, "status")
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(object); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
