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

// Violation is one reason why an API server would refuse an object.
type Violation struct {
	// Path is where in the object, "spec.http[0].route[1].weight", "" for the object as a whole.
	Path string
	// Message says what is wrong there, without repeating the path.
	Message string
}

// String is the violation on one line: "spec.hosts: is required".
func (v Violation) String() string {
	if v.Path == "" {
		return v.Message
	}
	return v.Path + ": " + v.Message
}

// sorted brings the violations into an order that does not depend on that of a map, each once.
func sorted(violations []Violation) []Violation {
	slices.SortFunc(violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(violations)
}

// The API server's libraries give these texts, the first two of them without a path beside it.
var (
	oneOfError  = regexp.MustCompile(`^"([^"]+)" must validate (?:one and only one|at least one|all the) schema`)
	numberError = regexp.MustCompile(`^Checked value must be of type (\w+) (?:\(default format\)|with format (\w+)) in (.+)$`)
	wrongType   = regexp.MustCompile(`^must be of type (\w+): "(\w+)"$`)
	// ruleError is of a CEL rule that could not be evaluated, such as one that takes a string for a duration.
	ruleError = regexp.MustCompile(`^(.+) evaluating rule: (.+)$`)
)

// violation puts an error of the API server's libraries into words.
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
		return Violation{path, "is there a second time: " + inJSON(err.BadValue)}
	case field.ErrorTypeTypeInvalid:
		return Violation{path, wrongType.ReplaceAllString(detail, "must be of type $1, is $2")}
	}
	switch err.BadValue.(type) {
	case string, bool, int64, float64:
		// A small value helps to find the place; a whole object would bury the message.
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

// unknownField names the fields that there are beside the unknown one, since it is most often misspelt.
func (k *kindSchema) unknownField(path string) string {
	parent := ""
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		parent = path[:dot]
	}
	node := k.at(parent)
	if parent == "" || node == nil || len(node.Properties) == 0 {
		return "unknown field"
	}
	return "unknown field; known here are " + strings.Join(slices.Sorted(maps.Keys(node.Properties)), ", ")
}

// alternatives says which fields exclude each other at path.
func (k *kindSchema) alternatives(path string) string {
	var rules []string
	if node := k.at(path); node != nil && node.ValueValidation != nil {
		rules = appendAlternative(rules, node.ValueValidation.OneOf)
		for _, all := range node.ValueValidation.AllOf {
			rules = appendAlternative(rules, all.OneOf)
		}
	}
	if len(rules) == 0 {
		return "sets fields that exclude each other, or none of those of which one is required"
	}
	return strings.Join(rules, ", and ")
}

// appendAlternative reads a oneOf as Istio's CRDs write it for a protobuf oneof: a branch with one required
// field for each alternative and, where all may be absent, a branch that is the negation of the others.
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

// at finds the schema of the value at a path, nil if there is none, or if the path cannot be taken apart
// because a key of a map contains a dot or a bracket.
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
