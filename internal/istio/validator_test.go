package istio

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func newTestValidator(t testing.TB) *Validator {
	t.Helper()
	v, err := NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func texts(violations []Violation) []string {
	var out []string
	for _, v := range violations {
		out = append(out, v.String())
	}
	return out
}

func TestValidate(t *testing.T) {
	v := newTestValidator(t)
	for _, tc := range verdicts {
		t.Run(tc.reason, func(t *testing.T) {
			obj := parse(t, tc.object)
			before := parse(t, tc.object)
			if diff := cmp.Diff(tc.want, texts(v.Validate(obj))); diff != "" {
				t.Errorf("%s: violations (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before.Object, obj.Object); diff != "" {
				t.Errorf("Validate changed the object (-before +after):\n%s", diff)
			}
		})
	}
}

func TestValidateListsTheManagedKinds(t *testing.T) {
	v := newTestValidator(t)
	for _, tc := range []struct {
		reason, object string
		path           string
		want           []string
	}{
		{
			reason: "EnvoyFilter is omitted on purpose",
			object: "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: a, namespace: b}",
			path:   "kind", want: []string{`"EnvoyFilter"`, "Gateway (networking.istio.io/v1)", "Telemetry (telemetry.istio.io/v1)"},
		},
		{
			reason: "a Gateway of the Gateway API",
			object: "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: a, namespace: b}",
			path:   "kind", want: []string{`"Gateway" of apiVersion "gateway.networking.k8s.io/v1"`},
		},
		{
			reason: "another version of a managed kind",
			object: "apiVersion: networking.istio.io/v1beta1\nkind: ServiceEntry\nmetadata: {name: a, namespace: b}",
			path:   "apiVersion", want: []string{`"networking.istio.io/v1beta1"`, "use networking.istio.io/v1"},
		},
		{
			reason: "an empty object",
			object: "{}",
			path:   "kind", want: []string{`""`, "the managed kinds are Service (v1), Gateway"},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			got := v.Validate(parse(t, tc.object))
			if len(got) != 1 || got[0].Path != tc.path {
				t.Fatalf("%s: got %v, want one violation at %s", tc.reason, got, tc.path)
			}
			for _, want := range tc.want {
				if !strings.Contains(got[0].Message, want) {
					t.Errorf("%s: message %q lacks %q", tc.reason, got[0].Message, want)
				}
			}
		})
	}
}

func TestDefault(t *testing.T) {
	v := newTestValidator(t)
	for _, tc := range []struct {
		reason string
		in     map[string]any
		want   map[string]any
	}{
		{
			reason: "Go integers, whole fractions and typed lists become the types of a decoder",
			in: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": map[string]any{
				"hosts": []string{"a"}, "ports": []any{map[string]any{"number": 80, "targetPort": 80.0}, map[string]any{"number": uint16(81)}},
			}},
			want: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": map[string]any{
				"hosts": []any{"a"}, "ports": []any{map[string]any{"number": int64(80), "targetPort": int64(80)}, map[string]any{"number": int64(81)}},
			}},
		},
		{
			reason: "fractions and numbers beyond 64 bits do not change",
			in: map[string]any{
				"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
				"spec": map[string]any{"a": 0.5, "b": 1e19, "c": float64(1 << 62), "d": -9223372036854775808.0, "e": 9223372036854775808.0},
			},
			want: map[string]any{
				"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
				"spec": map[string]any{"a": 0.5, "b": 1e19, "c": int64(1 << 62), "d": int64(-9223372036854775808), "e": 9223372036854775808.0},
			},
		},
		{
			reason: "a null that the schema does not allow is dropped, an unknown field is kept",
			in: map[string]any{
				"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
				"spec": map[string]any{"location": nil, "unheardOf": nil},
			},
			want: map[string]any{
				"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
				"spec": map[string]any{"unheardOf": nil},
			},
		},
		{
			reason: "an unmanaged kind: only numbers change",
			in:     map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "spec": map[string]any{"a": nil, "b": 1}},
			want:   map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "spec": map[string]any{"a": nil, "b": int64(1)}},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			obj := &unstructured.Unstructured{Object: tc.in}
			v.Default(obj)
			if diff := cmp.Diff(tc.want, obj.Object); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// Istio's CRDs have no defaults today. Default supports them all the same.
func TestDefaultSetsDefaults(t *testing.T) {
	crds := CRDs()
	for _, crd := range crds {
		if crd.Spec.Names.Kind != "ServiceEntry" {
			continue
		}
		spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
		location := spec.Properties["location"]
		location.Default = &apiextensionsv1.JSON{Raw: []byte(`"MESH_INTERNAL"`)}
		spec.Properties["location"] = location
	}
	v, err := newValidator(crds)
	if err != nil {
		t.Fatal(err)
	}
	obj := parse(t, "kind: ServiceEntry\nspec: {hosts: [a], location: null}")
	v.Default(obj)
	want := map[string]any{"hosts": []any{"a"}, "location": "MESH_INTERNAL"}
	if diff := cmp.Diff(want, obj.Object["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

// The first use of a kind compiles its rules. With -race this checks concurrent first uses.
func TestValidateConcurrently(t *testing.T) {
	v := newTestValidator(t)
	var wg sync.WaitGroup
	for range 4 {
		for _, tc := range verdicts {
			obj := parse(t, tc.object)
			wg.Go(func() {
				if diff := cmp.Diff(tc.want, texts(v.Validate(obj))); diff != "" {
					t.Errorf("%s: violations (-want +got):\n%s", tc.reason, diff)
				}
			})
		}
	}
	wg.Wait()
}
