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

// Validator checks objects of the managed kinds as an API server with Istio's CRDs does on create, without
// one. Of Services it takes stubs only. It is immutable and safe for concurrent use; one per process is enough.
type Validator struct {
	kinds map[schema.GroupVersionKind]*kindSchema
}

// kindSchema is what an API server keeps of one version of a CRD.
type kindSchema struct {
	namespaced bool
	// hasStatus says that status is a subresource: what a create says about it is dropped.
	hasStatus bool
	// form is a sentence about what a mesh repository may render of the kind, where that is but a part of what an API server takes.
	form       string
	name       validation.ValidateNameFunc
	structural *structuralschema.Structural
	openAPI    apiservervalidation.SchemaValidator
	// rules are the compiled CEL rules, nil if the schema has none. Compiling the rules of all kinds takes
	// longer than everything else here together, and a mesh rarely has all kinds: hence on first use.
	rules func() *cel.Validator
}

// NewValidator prepares the embedded CRDs and the form of the stub Service.
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

func newKindSchema(crd *apiextensionsv1.CustomResourceDefinition, version apiextensionsv1.CustomResourceDefinitionVersion) (*kindSchema, error) {
	props := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, props, nil); err != nil {
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

// Default gives obj the form in which an API server would store it, as far as its values decide that: numbers
// are int64 or float64, a null that the schema does not allow is dropped, and the CRD's defaults are filled in.
// An object of a kind that is not managed gets only its numbers changed. obj.Object is replaced by a new
// map; whoever holds a part of the old one keeps it as it was.
func (v *Validator) Default(obj *unstructured.Unstructured) {
	obj.Object = normalized(obj.Object).(map[string]any)
	if k := v.kinds[obj.GroupVersionKind()]; k != nil {
		k.complete(obj.Object)
		if k.form != "" {
			completeStub(obj.Object)
		}
	}
}

// complete drops nulls and fills in defaults, in the order in which an API server decodes.
func (k *kindSchema) complete(object map[string]any) {
	defaulting.PruneNonNullableNullsWithoutDefaults(object, k.structural)
	defaulting.Default(object, k.structural)
}

// Validate returns what an API server would refuse obj for on create with strict field validation, sorted by
// path; none if it would accept it. Three things are judged by obj alone: the name must be given (there is no
// generateName here), so must the namespace, and whether that namespace exists is not looked at. obj itself
// stays as it is.
//
// As in the API server, CEL rules are not looked at while a value has the wrong type, is missing, too long or
// not one of those allowed: mend those first.
func (v *Validator) Validate(obj *unstructured.Unstructured) []Violation {
	k := v.kinds[obj.GroupVersionKind()]
	if k == nil {
		return []Violation{v.unmanaged(obj)}
	}
	object := normalized(obj.Object).(map[string]any)
	violations := k.metadataViolations(object)
	for _, path := range pruning.PruneWithOptions(object, k.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
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

// hidesRules says whether an API server leaves the CEL rules out after this error, as their result would
// only mislead.
func hidesRules(err *field.Error) bool {
	switch err.Type {
	case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
		return true
	default:
		return false
	}
}

// unmanaged is the violation of an object that is none of the managed kinds.
func (v *Validator) unmanaged(obj *unstructured.Unstructured) Violation {
	allowed := make([]string, len(Kinds))
	for i, kind := range Kinds {
		if obj.GetKind() == kind.Kind && obj.GroupVersionKind().Group == kind.Group {
			return Violation{"apiVersion", fmt.Sprintf("%q is not the version that Isthmus writes; use %s", obj.GetAPIVersion(), kind.GroupVersion())}
		}
		allowed[i] = kind.Kind + " (" + kind.GroupVersion().String() + ")"
	}
	return Violation{"kind", fmt.Sprintf("%q of apiVersion %q is not managed by Isthmus; the managed kinds are %s",
		obj.GetKind(), obj.GetAPIVersion(), strings.Join(allowed, ", "))}
}
