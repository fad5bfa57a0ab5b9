package istio

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Validator validates objects of the managed kinds offline, as an API server with Istio's CRDs does
// on create. Services must be stubs. A Validator is immutable and safe for concurrent use; one per
// process is enough.
type Validator struct {
	kinds map[schema.GroupVersionKind]*kindSchema
}

// kindSchema is the compiled schema of one version of a CRD.
type kindSchema struct {
	namespaced bool
	// hasStatus is true if status is a subresource: the API server drops it on create.
	hasStatus bool
	// form describes the allowed objects, if they are fewer than those that an API server accepts.
	form       string
	name       validation.ValidateNameFunc
	structural *structuralschema.Structural
	openAPI    apiservervalidation.SchemaValidator
	// rules are the compiled CEL rules, nil if the schema has none. They are compiled on first use:
	// compilation takes longer than all other validation, and a mesh rarely has all kinds.
	rules func() *cel.Validator
}

// NewValidator returns a validator for the embedded CRDs and stub Services.
func NewValidator() (*Validator, error) {
	crds, err := decodeCRDs()
	if err != nil {
		return nil, err
	}
	v, err := newValidator(crds)
	if err != nil {
		return nil, err
	}
	if err := v.addStub(); err != nil {
		return nil, err
	}
	return v, nil
}

func newValidator(crds []*apiextensionsv1.CustomResourceDefinition) (*Validator, error) {
	v := &Validator{kinds: map[schema.GroupVersionKind]*kindSchema{}}
	for _, crd := range crds {
		for _, version := range crd.Spec.Versions {
			k, err := newKindSchema(crd, version)
			if err != nil {
				return nil, fmt.Errorf("schema of CRD %s, version %s: %w", crd.Name, version.Name, err)
			}
			v.kinds[schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}] = k
		}
	}
	return v, nil
}

func newKindSchema(
	crd *apiextensionsv1.CustomResourceDefinition, version apiextensionsv1.CustomResourceDefinitionVersion,
) (*kindSchema, error) {
	props := &apiextensions.JSONSchemaProps{}
	convert := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps
	if err := convert(version.Schema.OpenAPIV3Schema, props, nil); err != nil {
		return nil, err
	}
	structural, err := structuralschema.NewStructural(props)
	if err != nil {
		return nil, err
	}
	structural = structural.DeepCopy()
	if err := defaulting.PruneDefaults(structural); err != nil {
		return nil, err
	}
	openAPI, _, err := apiservervalidation.NewSchemaValidator(props)
	if err != nil {
		return nil, err
	}
	return &kindSchema{
		namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		hasStatus:  version.Subresources != nil && version.Subresources.Status != nil,
		name:       validation.NameIsDNSSubdomain,
		structural: structural,
		openAPI:    openAPI,
		rules: sync.OnceValue(func() *cel.Validator {
			return cel.NewValidator(structural, true, celconfig.PerCallLimit)
		}),
	}, nil
}

// Default changes obj to the form in which an API server stores it: numbers are int64 or float64,
// nulls that the schema does not allow are dropped, and the CRD's defaults are set. For kinds that
// are not managed it changes numbers only. It replaces obj.Object by a new map and does not change
// the old one.
func (v *Validator) Default(obj *unstructured.Unstructured) {
	obj.Object = normalized(obj.Object).(map[string]any)
	if k := v.kinds[obj.GroupVersionKind()]; k != nil {
		k.complete(obj.Object)
		if k.form != "" {
			completeStub(obj.Object)
		}
	}
}

// complete drops nulls and sets defaults, in the order of an API server.
func (k *kindSchema) complete(object map[string]any) {
	defaulting.PruneNonNullableNullsWithoutDefaults(object, k.structural)
	defaulting.Default(object, k.structural)
}

// Validate returns the reasons why an API server would reject obj on create with strict field
// validation, sorted by path. It requires a name (generateName is not supported) and a namespace,
// and does not check that the namespace exists. It does not change obj.
//
// As in an API server, CEL rules are skipped while a value has the wrong type, is missing, too long
// or not in an enumeration.
func (v *Validator) Validate(obj *unstructured.Unstructured) []Violation {
	k := v.kinds[obj.GroupVersionKind()]
	if k == nil {
		return []Violation{v.unmanaged(obj)}
	}
	object := normalized(obj.Object).(map[string]any)
	violations := k.metadataViolations(object)
	unknown := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(object, k.structural, true, unknown) {
		violations = append(violations, Violation{path, k.unknownField(path)})
	}
	k.complete(object)
	if k.hasStatus {
		delete(object, "status")
	}

	ctx := context.Background()
	errs := apiservervalidation.ValidateCustomResource(nil, object, k.openAPI)
	errs = append(errs, objectmeta.Validate(ctx, nil, object, k.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, object)...)
	if rules := k.rules(); rules != nil && !slices.ContainsFunc(errs, hidesRules) {
		ruleErrs, _ := rules.Validate(ctx, nil, k.structural, object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, ruleErrs...)
	}
	for _, err := range errs {
		violations = append(violations, k.violation(err))
	}
	return k.withForm(sorted(violations))
}

// hidesRules reports whether an API server skips the CEL rules after this error.
func hidesRules(err *field.Error) bool {
	switch err.Type {
	case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
		return true
	default:
		return false
	}
}

// unmanaged returns the violation of an object of another kind.
func (v *Validator) unmanaged(obj *unstructured.Unstructured) Violation {
	allowed := make([]string, len(Kinds))
	for i, kind := range Kinds {
		if obj.GetKind() == kind.Kind && obj.GroupVersionKind().Group == kind.Group {
			return Violation{"apiVersion", fmt.Sprintf("%q is not the version that Isthmus writes; use %s",
				obj.GetAPIVersion(), kind.GroupVersion())}
		}
		allowed[i] = kind.Kind + " (" + kind.GroupVersion().String() + ")"
	}
	return Violation{"kind", fmt.Sprintf("%q of apiVersion %q is not managed by Isthmus; the managed kinds are %s",
		obj.GetKind(), obj.GetAPIVersion(), strings.Join(allowed, ", "))}
}
