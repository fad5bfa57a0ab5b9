package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
)

// Validate runs the validation of istiod's admission webhook on every Istio resource of a bundle.
// Unknown fields are errors, because the API server would drop them. Other kinds are skipped.
func Validate(bundle map[string]map[string]any) []Finding {
	var findings []Finding
	for _, key := range slices.Sorted(maps.Keys(bundle)) {
		if !strings.Contains(fmt.Sprint(bundle[key]["apiVersion"]), "istio.io/") {
			continue
		}
		warning, err := validate(bundle[key])
		if err != nil {
			findings = append(findings, Finding{Resource: key, Level: "error", Message: err.Error()})
		}
		if warning != nil {
			findings = append(findings, Finding{Resource: key, Level: "warning", Message: warning.Error()})
		}
	}
	return findings
}

func validate(object map[string]any) (warning, failure error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var k crd.IstioKind
	if err := json.Unmarshal(raw, &k); err != nil {
		return nil, err
	}
	schema, known := collections.All.FindByGroupVersionAliasesKind(config.FromKubernetesGVK(k.GroupVersionKind()))
	if !known {
		return nil, fmt.Errorf("Istio has no kind %s in %s", k.Kind, k.APIVersion)
	}
	converted, err := crd.ConvertObjectInternal(schema, &k, "cluster.local", decodeStrict)
	if err != nil {
		return nil, err
	}
	return schema.ValidateConfig(*converted)
}

func decodeStrict(schema resource.Schema, js string) (config.Spec, error) {
	spec, err := schema.NewInstance()
	if err != nil {
		return nil, err
	}
	return spec, config.ApplyJSONStrict(spec, js)
}
