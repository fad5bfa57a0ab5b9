package cli

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// manyResources are more than one goroutine makes into text, in no order, with characters that JSON for browsers would escape.
func manyResources(t *testing.T, n int) ([]render.Resource, map[string]any) {
	t.Helper()
	var resources []render.Resource
	all := map[string]any{}
	for i := range n {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
			"metadata": map[string]any{"name": fmt.Sprintf("s%d", (i*7919)%n), "namespace": "a<b>&c"},
			"spec":     map[string]any{"hosts": []any{"s.example.com"}, "http": []any{}, "weight": int64(i), "empty": map[string]any{}},
		}}
		resource, err := render.NewResource(object)
		if err != nil {
			t.Fatal(err)
		}
		resources = append(resources, resource)
		all[resource.Key.String()] = resource.Rendered()
	}
	return resources, all
}

func TestConcurrentJSONEqualsSequentialJSON(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, resourcesAtOnce, 3*resourcesAtOnce + 1} {
		resources, all := manyResources(t, n)
		var want, got bytes.Buffer
		if err := encodeJSON(&want, all); err != nil {
			t.Fatal(err)
		}
		if err := writeResourcesJSON(&got, "", resources); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), got.String()+"\n"); diff != "" {
			t.Errorf("%d resources: -as one value, +side by side:\n%s", n, diff)
		}
		want.Reset()
		got.Reset()
		if err := encodeJSON(&want, map[string]any{"east": all, "west": map[string]any{}}); err != nil {
			t.Fatal(err)
		}
		if err := writeClustersJSON(&got, []rendered{{cluster: "east", resources: resources}, {cluster: "west"}}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), got.String()); diff != "" {
			t.Errorf("%d resources of two clusters: -as one value, +side by side:\n%s", n, diff)
		}
	}
}
