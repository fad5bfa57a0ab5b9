package istio

import (
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var metadataPath = field.NewPath("metadata")

// metadataViolations validates metadata, which is not in the schema of a CRD.
func (k *kindSchema) metadataViolations(object map[string]any) []Violation {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok && object["metadata"] != nil {
		return []Violation{{"metadata", "must be an object"}}
	}
	// Before metadata is decoded, because the decoder's errors name Go types instead of labels.
	violations := slices.Concat(
		notStrings(metadataPath.Child("labels"), metadata["labels"]),
		notStrings(metadataPath.Child("annotations"), metadata["annotations"]))
	if len(violations) > 0 {
		return violations
	}
	meta, _, unknown, err := objectmeta.GetObjectMetaWithOptions(
		map[string]any{"metadata": metadata}, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return []Violation{{"metadata", "cannot be read: " + err.Error()}}
	}
	for _, path := range unknown {
		violations = append(violations, Violation{path, "unknown field"})
	}
	if meta.ResourceVersion != "" {
		violations = append(violations, Violation{"metadata.resourceVersion", "must not be set: the API server assigns it"})
	}
	for _, err := range validation.ValidateObjectMeta(meta, k.namespaced, k.name, metadataPath) {
		if err.Type == field.ErrorTypeRequired {
			err.Detail = "" // proposes generateName, which gives no stable name
		}
		violations = append(violations, k.violation(err))
	}
	return violations
}

// notStrings finds values of labels or annotations that are not strings. The usual mistake is a
// number or boolean without quotes.
func notStrings(path *field.Path, value any) []Violation {
	if value == nil {
		return nil
	}
	values, ok := value.(map[string]any)
	if !ok {
		return []Violation{{path.String(), "must be an object"}}
	}
	var violations []Violation
	for key, v := range values {
		if _, ok := v.(string); !ok && v != nil {
			violations = append(violations, Violation{path.Key(key).String(), fmt.Sprintf("must be a string (given: %v)", v)})
		}
	}
	return violations
}
