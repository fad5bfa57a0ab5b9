package istio

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Violation is a reason why an API server would reject an object.
type Violation struct {
	// Path in the object, such as "spec.http[0].route[1].weight"; "" for the whole object.
	Path string
	// Message describes the violation without its path.
	Message string
}

// String returns the violation on one line: "spec.hosts: is required".
func (v Violation) String() string {
	if v.Path == "" {
		return v.Message
	}
	return v.Path + ": " + v.Message
}

// sorted returns the violations in a stable order, without duplicates.
func sorted(violations []Violation) []Violation {
	slices.SortFunc(violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(violations)
}

// Texts of the API server's libraries. The first two have their path in the text.
var (
	oneOfError  = regexp.MustCompile(`^"([^"]+)" must validate (?:one and only one|at least one|all the) schema`)
	numberError = regexp.MustCompile(`^Checked value must be of type (\w+) (?:\(default format\)|with format (\w+)) in (.+)$`)
	wrongType   = regexp.MustCompile(`^must be of type (\w+): "(\w+)"$`)
	// ruleError is the error of a CEL rule that could not be evaluated, such as the conversion of a
	// string to a duration.
	ruleError = regexp.MustCompile(`^(.+) evaluating rule: (.+)$`)
)

// violation converts an error of the API server's libraries.
func (k *kindSchema) violation(err *field.Error) Violation {
	path := err.Field
	if path == "<nil>" {
		path = ""
	}
	if found := oneOfError.FindStringSubmatch(err.Detail); found != nil {
		return Violation{found[1], k.alternatives(found[1])}
	}
	if found := numberError.FindStringSubmatch(err.Detail); found != nil {
		if found[2] == "" {
			return Violation{found[3], "must be of type " + found[1] + ", is number"}
		}
		return Violation{found[3], "must be of type " + found[1] + " and fit " + found[2]}
	}
	if found := ruleError.FindStringSubmatch(err.Detail); found != nil {
		return Violation{path, found[2] + " (" + found[1] + ")"}
	}
	detail := strings.TrimPrefix(err.Detail, path+" in body ")

	switch err.Type {
	case field.ErrorTypeRequired:
		return Violation{path, cmp.Or(detail, "is required")}
	case field.ErrorTypeNotSupported:
		return Violation{path, fmt.Sprintf("%s is not one of %s", inJSON(err.BadValue), strings.TrimPrefix(detail, "supported values: "))}
	case field.ErrorTypeDuplicate:
		return Violation{path, "is a duplicate: " + inJSON(err.BadValue)}
	case field.ErrorTypeTypeInvalid:
		return Violation{path, wrongType.ReplaceAllString(detail, "must be of type $1, is $2")}
	}
	switch err.BadValue.(type) {
	case string, bool, int64, float64:
		// A scalar helps to find the place; an object would hide the message.
		return Violation{path, fmt.Sprintf("%s (given: %s)", detail, inJSON(err.BadValue))}
	}
	return Violation{path, cmp.Or(detail, err.ErrorBody())}
}

func inJSON(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(raw)
}

// unknownField lists the known fields at the path, because most unknown fields are misspelt.
func (k *kindSchema) unknownField(path string) string {
	parent := ""
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		parent = path[:dot]
	}
	node := k.at(parent)
	if parent == "" || node == nil || len(node.Properties) == 0 {
		return "unknown field"
	}
	return "unknown field; the known fields are " + strings.Join(slices.Sorted(maps.Keys(node.Properties)), ", ")
}

// alternatives describes the mutually exclusive fields at the path.
func (k *kindSchema) alternatives(path string) string {
	var rules []string
	if node := k.at(path); node != nil && node.ValueValidation != nil {
		rules = appendAlternative(rules, node.ValueValidation.OneOf)
		for _, all := range node.ValueValidation.AllOf {
			rules = appendAlternative(rules, all.OneOf)
		}
	}
	if len(rules) == 0 {
		return "sets mutually exclusive fields, or none of several fields of which one is required"
	}
	return strings.Join(rules, ", and ")
}

// appendAlternative describes a oneOf that Istio's CRDs have for a protobuf oneof: a branch with
// one required field for each alternative and, if all may be absent, a branch that negates the
// others.
func appendAlternative(rules []string, oneOf []structuralschema.NestedValueValidation) []string {
	var fields []string
	count := "exactly one"
	for _, branch := range oneOf {
		switch {
		case branch.Not != nil:
			count = "at most one"
		case len(branch.Required) > 0:
			fields = append(fields, strings.Join(branch.Required, " with "))
		default:
			return rules
		}
	}
	if len(fields) == 0 {
		return rules
	}
	return append(rules, fmt.Sprintf("%s of %s may be set", count, strings.Join(fields, ", ")))
}

// at returns the schema of the value at a path. It returns nil if there is none, or if a map key in
// the path contains a dot or a bracket.
func (k *kindSchema) at(path string) *structuralschema.Structural {
	node := k.structural
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		property, known := node.Properties[step]
		switch {
		case known:
			node = &property
		case node.Items != nil:
			node = node.Items
		case node.AdditionalProperties != nil && node.AdditionalProperties.Structural != nil:
			node = node.AdditionalProperties.Structural
		default:
			return nil
		}
	}
	return node
}
