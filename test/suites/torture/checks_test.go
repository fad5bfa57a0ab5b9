//go:build linux

package torture_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestDiffDetectsEachDeviation(t *testing.T) {
	kind := kindOf("ServiceEntry")
	exported := func() *unstructured.Unstructured { return foreignObject(kind, "cart", "ours") }
	cases := map[string]struct {
		reason string
		change func(live map[string]*unstructured.Unstructured)
		want   string
	}{
		"Nothing": {"the cluster equals the export", func(map[string]*unstructured.Unstructured) {}, ""},
		"Orphan": {"it should have been pruned", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/orphan"] = foreignObject(kind, "cart", "orphan")
		}, "ServiceEntry/cart/orphan is left over"},
		"Missing": {"it should have been created", func(live map[string]*unstructured.Unstructured) { delete(live, "ServiceEntry/cart/ours") }, "is missing"},
		"Changed": {"drift should have been corrected", func(live map[string]*unstructured.Unstructured) {
			tamper(live["ServiceEntry/cart/ours"])
		}, "edited.example.com"},
		"LabelLost": {"it would never be pruned", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/ours"].SetLabels(map[string]string{foreignMark: "yes"})
		}, "lacks an ownership mark"},
		"ManagerLost": {"it would never be pruned", func(live map[string]*unstructured.Unstructured) { live["ServiceEntry/cart/ours"].SetManagedFields(nil) }, "lacks an ownership mark"},
		"ForeignWritten": {"it is foreign", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/foreign"].SetResourceVersion("2")
		}, "was written"},
		"ForeignGone": {"it is foreign", func(live map[string]*unstructured.Unstructured) { delete(live, "ServiceEntry/cart/foreign") }, "ServiceEntry/cart/foreign is gone"},
		"MarkLost": {"foreign labels are kept", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/ours"].SetAnnotations(nil)
		}, "lost a foreign label or annotation"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := &cluster{foreign: map[string]string{}, marked: map[string]string{}}
			owned, foreign := exported(), foreignObject(kind, "cart", "foreign")
			owned.SetUID("1")
			owned.SetLabels(map[string]string{partOf: "set", foreignMark: "yes"})
			owned.SetAnnotations(map[string]string{foreignMark: "yes"})
			owned.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: manager}})
			live := map[string]*unstructured.Unstructured{keyOf(owned): owned, keyOf(foreign): foreign}
			c.foreign[keyOf(foreign)], c.marked[keyOf(owned)] = gitops.Version(foreign), "1"
			tc.change(live)
			got := c.diff(live, map[string]*unstructured.Unstructured{keyOf(owned): exported()}, "set")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("%s: want %q, got %q", tc.reason, tc.want, got)
			}
		})
	}
}

func TestHostWatchDetectsABriefAbsence(t *testing.T) {
	first, second := foreignObject(kindOf("ServiceEntry"), "cart", "first"), foreignObject(kindOf("ServiceEntry"), "cart", "second")
	for _, entry := range []*unstructured.Unstructured{first, second} {
		entry.Object["spec"] = map[string]any{"hosts": []any{"cart.cart.global"}}
	}
	h := &gitops.HostWatch{}
	must(t, h.Replace([]any{first}, ""))
	h.Require("cart.cart.global")
	must(t, h.Add(second))
	must(t, h.Delete(first))
	if absent := h.Absences(); len(absent) > 0 {
		t.Errorf("the other entry defines it: %v", absent)
	}
	must(t, h.Delete(second))
	must(t, h.Add(first))
	if absent := h.Absences(); len(absent) != 1 || !strings.Contains(absent[0], "after the deletion of ServiceEntry/cart/second") {
		t.Errorf("the absence must be recorded once: %v", absent)
	}
}
