package merge

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestDifferencesAndUpdateBody(t *testing.T) {
	const id = "applyset-own-v1"
	tests := map[string]struct {
		reason        string
		desired, live string
		// ours is the FieldsV1 of the Isthmus field manager on the live object.
		ours string
		want []string
	}{
		"equal": {
			reason:  "nothing to write",
			desired: `{"spec":{"a":{"b":[1,"x",null]}}}`, live: `{"spec":{"a":{"b":[1,"x",null]}}}`,
		},
		"status": {
			reason:  "istiod owns the status",
			desired: `{"spec":{}}`, live: `{"spec":{},"status":{"x":1}}`,
		},
		"numbers": {
			reason:  "1 and 1.0 are the same number, 1 and 1.5 are not",
			desired: `{"spec":{"same":1.0,"other":1,"text":1}}`, live: `{"spec":{"same":1,"other":1.5,"text":"1"}}`,
			want: []string{"spec.other", "spec.text"},
		},
		"big integers": {
			reason:  "a float64 cannot tell the two apart",
			desired: `{"spec":{"n":9007199254740993}}`, live: `{"spec":{"n":9007199254740992}}`,
			want: []string{"spec.n"},
		},
		"added field": {
			reason:  "Isthmus owns the whole spec",
			desired: `{"spec":{"a":{"x":1}}}`, live: `{"spec":{"a":{"x":1,"y":2},"z":3}}`,
			want: []string{"spec.a.y", "spec.z"},
		},
		"missing field": {
			reason:  "a missing field is a difference",
			desired: `{"spec":{"a":{"x":1,"y":2}}}`, live: `{"spec":{"a":{"x":1}}}`,
			want: []string{"spec.a.y"},
		},
		"null and absent": {
			reason:  "the API server keeps both apart",
			desired: `{"spec":{"a":null}}`, live: `{"spec":{}}`,
			want: []string{"spec.a"},
		},
		"empty and absent": {
			reason:  "an empty selector selects everything, an absent one does not",
			desired: `{"spec":{"selector":{}}}`, live: `{"spec":{}}`,
			want: []string{"spec.selector"},
		},
		"order of a list": {
			reason:  "routes match in order",
			desired: `{"spec":{"hosts":["a","b"]}}`, live: `{"spec":{"hosts":["b","a"]}}`,
			want: []string{"spec.hosts"},
		},
		"length of a list": {
			reason:  "it is not known which element is new",
			desired: `{"spec":{"http":[{"name":"a"},{"name":"b"}]}}`, live: `{"spec":{"http":[{"name":"b"}]}}`,
			want: []string{"spec.http"},
		},
		"element of a list": {
			reason:  "the path names the element",
			desired: `{"spec":{"http":[{"name":"a"},{"route":[{"weight":1}]}]}}`, live: `{"spec":{"http":[{"name":"a"},{"route":[{"weight":2}]}]}}`,
			want: []string{"spec.http[1].route[0].weight"},
		},
		"other shapes": {
			reason:  "a map, a list and a scalar are never equal",
			desired: `{"spec":{"a":{},"b":[],"c":"x"}}`, live: `{"spec":{"a":[],"b":{},"c":[]}}`,
			want: []string{"spec.a", "spec.b", "spec.c"},
		},
		"no spec": {
			reason:  "the whole spec was removed",
			desired: `{"spec":{"a":1}}`, live: `{}`,
			want: []string{"spec"},
		},
		"foreign metadata": {
			reason:  "metadata of other field managers stays",
			desired: `{"metadata":{"labels":{"l":"1"}},"spec":{}}`,
			live:    `{"metadata":{"labels":{"l":"1","theirs":"x"},"annotations":{"theirs":"y"}},"spec":{}}`,
			ours:    `{"f:metadata":{"f:labels":{"f:l":{}}}}`,
		},
		"our metadata changed": {
			reason:  "metadata in the bundle is desired",
			desired: `{"metadata":{"labels":{"l":"1"},"annotations":{"a/b":"2"}},"spec":{}}`,
			live:    `{"metadata":{"labels":{"l":"x"}},"spec":{}}`,
			want:    []string{"metadata.annotations.a/b", "metadata.labels.l"},
		},
		"our metadata left the bundle": {
			reason:  "Isthmus set it, so Isthmus removes it",
			desired: `{"spec":{}}`,
			live:    `{"metadata":{"labels":{"l":"1","theirs":"x"},"annotations":{"a":"2"}},"spec":{}}`,
			ours:    `{"f:metadata":{"f:annotations":{".":{},"f:a":{}},"f:labels":{".":{},"f:l":{}}}}`,
			want:    []string{"metadata.annotations.a", "metadata.labels.l"},
		},
		"unreadable managedFields": {
			reason:  "unreadable fields remove nothing",
			desired: `{"spec":{}}`,
			live:    `{"metadata":{"labels":{"l":"1"}},"spec":{}}`,
			ours:    `{"f:metadata":"x"}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			desired, live := decoded(t, test.desired), decoded(t, test.live)
			live.SetLabels(overlay(live.GetLabels(), nil, map[string]string{ownership.LabelPartOf: id}))
			if test.ours != "" {
				live.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: ownership.FieldManager, FieldsV1: metav1.NewFieldsV1(test.ours)}})
			}
			if diff := cmp.Diff(test.want, Differences(desired, live, id)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			// The PUT leaves no difference, and leaves managedFields to the API server.
			put := UpdateBody(desired, live, id)
			if fields := Differences(desired, put, id); len(fields) > 0 || put.GetManagedFields() != nil {
				t.Errorf("%s: the PUT leaves %v, managedFields %v", test.reason, fields, put.GetManagedFields())
			}
		})
	}
}

func TestLabelOfAnotherApplySetIsADifference(t *testing.T) {
	live := istiotest.WithLabels(istiotest.DestinationRule("shop", "cart"), map[string]string{ownership.LabelPartOf: "applyset-gone-v1"})
	want := []string{"metadata.labels." + ownership.LabelPartOf}
	if diff := cmp.Diff(want, Differences(istiotest.DestinationRule("shop", "cart"), live, "applyset-own-v1")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// decoded reads numbers as an API client does: a number without a point is an int64.
func decoded(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	full := []byte(`{"apiVersion":"networking.istio.io/v1","kind":"Gateway",` + text[1:])
	if text == "{}" {
		full = []byte(`{"apiVersion":"networking.istio.io/v1","kind":"Gateway"}`)
	}
	if err := object.UnmarshalJSON(full); err != nil {
		t.Fatal(err)
	}
	return object
}
