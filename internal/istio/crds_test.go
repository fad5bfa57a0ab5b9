package istio

import (
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestCRDsMatchKinds(t *testing.T) {
	crds, kinds := CRDs(), slices.DeleteFunc(slices.Clone(Kinds), Kind.BuiltIn)
	if len(crds) != len(kinds) || len(kinds) != len(Kinds)-1 {
		t.Fatalf("%d CRDs for %d kinds, of which %d are not built in; only Service is built in", len(crds), len(Kinds), len(kinds))
	}
	for i, crd := range crds {
		kind := kinds[i]
		if crd.Name != kind.Resource+"."+kind.Group || crd.Spec.Names.Kind != kind.Kind || crd.Spec.Scope != apiextensionsv1.NamespaceScoped {
			t.Errorf("CRD %d is %s of kind %s, scope %s; istio.Kinds has %v there", i, crd.Name, crd.Spec.Names.Kind, crd.Spec.Scope, kind)
		}
		if len(crd.Spec.Versions) != 1 {
			t.Errorf("CRD %s has %d versions, want one", crd.Name, len(crd.Spec.Versions))
			continue
		}
		if version := crd.Spec.Versions[0]; version.Name != kind.Version || !version.Served || !version.Storage {
			t.Errorf("CRD %s: version %s, served %t, stored %t; want %s, served and stored", crd.Name, version.Name, version.Served, version.Storage, kind.Version)
		}
	}
}

func TestCRDsAreCopies(t *testing.T) {
	changed := CRDs()[0]
	changed.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = apiextensionsv1.JSONSchemaProps{}
	if len(CRDs()[0].Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties) == 0 {
		t.Error("changing a returned CRD changed the CRD of the next call")
	}
}
