package demo

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

func entry(change func(map[string]any)) *unstructured.Unstructured {
	o := map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
		"metadata": map[string]any{
			"name": "cart", "namespace": "cart",
			"labels": map[string]any{"isthmus.dev/service": "cart"},
		},
		"spec": map[string]any{
			"hosts": []any{"cart.example.com"},
			"ports": []any{map[string]any{"name": "http", "number": int64(80)}},
		},
	}
	change(o)
	return &unstructured.Unstructured{Object: o}
}

// marked adds what the controller and the API server add.
func marked(change func(map[string]any)) *unstructured.Unstructured {
	return entry(func(o map[string]any) {
		metadata := o["metadata"].(map[string]any)
		metadata["labels"].(map[string]any)[ownership.LabelPartOf] = applySetID()
		metadata["resourceVersion"] = "7"
		change(o)
	})
}

func unchanged(map[string]any) {}

func TestDifferencesCoverEverythingThatTheRepositoryDefines(t *testing.T) {
	const key = "ServiceEntry/cart/cart"
	spec := func(o map[string]any) map[string]any { return o["spec"].(map[string]any) }
	for name, c := range map[string]struct {
		reason string
		live   objects
		want   []string
	}{
		"equal":   {"the label of the controller and fields of the server are expected", objects{key: marked(unchanged)}, nil},
		"missing": {"every object of the repository must exist", objects{}, []string{key + " is missing"}},
		"more": {
			"no other object may exist",
			objects{key: marked(unchanged), "Gateway/a/b": marked(unchanged)},
			[]string{"Gateway/a/b is not in the repository"},
		},
		"changed": {
			"a changed field in a list is a difference",
			objects{key: marked(func(o map[string]any) { spec(o)["ports"].([]any)[0].(map[string]any)["number"] = int64(81) })},
			[]string{key + " differs in spec.ports[0].number"},
		},
		"added": {
			"an added field is a difference",
			objects{key: marked(func(o map[string]any) { spec(o)["resolution"] = "DNS" })},
			[]string{key + " differs in spec.resolution"},
		},
		"longer": {
			"an added element is a difference",
			objects{key: marked(func(o map[string]any) { spec(o)["hosts"] = []any{"cart.example.com", "x.example.com"} })},
			[]string{key + " differs in spec.hosts"},
		},
		"unmarked": {
			"every object needs the label of the controller",
			objects{key: entry(unchanged)},
			[]string{key + " differs in metadata.labels." + ownership.LabelPartOf},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := differences(objects{key: entry(unchanged)}, c.live)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}

func TestChangedCountsWrites(t *testing.T) {
	at := func(uid, version string) *unstructured.Unstructured {
		return marked(func(o map[string]any) {
			o["metadata"].(map[string]any)["uid"] = uid
			o["metadata"].(map[string]any)["resourceVersion"] = version
		})
	}
	before := objects{"a": at("1", "1"), "b": at("2", "2"), "c": at("3", "3"), "d": at("4", "4")}
	after := objects{"a": at("1", "1"), "b": at("2", "9"), "c": at("5", "10"), "e": at("6", "11")}
	if diff := cmp.Diff(change{created: 2, updated: 1, deleted: 2}, changed(before, after), cmp.AllowUnexported(change{})); diff != "" {
		t.Errorf("b is updated, c replaced, d deleted, e created: -want, +got:\n%s", diff)
	}
	if got := changed(before, before); got != (change{}) {
		t.Errorf("changed() without a write is %+v, want zero", got)
	}
}
