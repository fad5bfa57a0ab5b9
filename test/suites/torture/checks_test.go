//go:build linux

package torture_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTheChecksSeeWhatTheyAreFor(t *testing.T) {
	kind := kindOf("ServiceEntry")
	wanted := func() *unstructured.Unstructured { return stranger(kind, "cart", "ours") }
	cases := map[string]struct {
		reason string
		spoil  func(live map[string]*unstructured.Unstructured)
		sees   string
	}{
		"Nothing": {"all is well", func(map[string]*unstructured.Unstructured) {}, ""},
		"Orphan": {"it should have been pruned", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/orphan"] = stranger(kind, "cart", "orphan")
		}, "ServiceEntry/cart/orphan is left over"},
		"Missing": {"it should have been made", func(live map[string]*unstructured.Unstructured) { delete(live, "ServiceEntry/cart/ours") }, "is missing"},
		"Changed": {"it should have been put right", func(live map[string]*unstructured.Unstructured) {
			spoil(live["ServiceEntry/cart/ours"])
		}, "edited.example.com"},
		"LabelLost": {"nobody would prune it", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/ours"].SetLabels(map[string]string{foreignMark: "yes"})
		}, "lacks a mark"},
		"ManagerLost": {"nobody would prune it", func(live map[string]*unstructured.Unstructured) { live["ServiceEntry/cart/ours"].SetManagedFields(nil) }, "lacks a mark"},
		"ForeignWritten": {"it is not ours", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/foreign"].SetResourceVersion("2")
		}, "was written"},
		"ForeignGone": {"it is not ours", func(live map[string]*unstructured.Unstructured) { delete(live, "ServiceEntry/cart/foreign") }, "and gone"},
		"MarkLost": {"labels of others stay", func(live map[string]*unstructured.Unstructured) {
			live["ServiceEntry/cart/ours"].SetAnnotations(nil)
		}, "lost the label or annotation of somebody else"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := &cluster{foreign: map[string]string{}, marked: map[string]string{}}
			ours, foreign := wanted(), stranger(kind, "cart", "foreign")
			ours.SetUID("1")
			ours.SetLabels(map[string]string{partOf: "set", foreignMark: "yes"})
			ours.SetAnnotations(map[string]string{foreignMark: "yes"})
			ours.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: manager}})
			live := map[string]*unstructured.Unstructured{keyOf(ours): ours, keyOf(foreign): foreign}
			c.foreign[keyOf(foreign)], c.marked[keyOf(ours)] = versionOf(foreign), "1"
			tc.spoil(live)
			got := c.differs(live, map[string]*unstructured.Unstructured{keyOf(ours): wanted()}, "set")
			if tc.sees == "" && got != "" || !strings.Contains(got, tc.sees) {
				t.Errorf("%s: want %q, got %q", tc.reason, tc.sees, got)
			}
		})
	}
}

func TestTheWatchSeesAHostThatIsAbsentForAMoment(t *testing.T) {
	first, second := stranger(kindOf("ServiceEntry"), "cart", "first"), stranger(kindOf("ServiceEntry"), "cart", "second")
	for _, entry := range []*unstructured.Unstructured{first, second} {
		entry.Object["spec"] = map[string]any{"hosts": []any{"cart.cart.global"}}
	}
	h := &hosts{}
	must(t, h.Replace([]any{first}, ""))
	h.require("cart.cart.global")
	must(t, h.Add(second))
	must(t, h.Delete(first))
	if absent := h.absences(); len(absent) > 0 {
		t.Errorf("the other entry has it: %v", absent)
	}
	must(t, h.Delete(second))
	must(t, h.Add(first))
	if absent := h.absences(); len(absent) != 1 || !strings.Contains(absent[0], "after the deletion of ServiceEntry/cart/second") {
		t.Errorf("it was gone once, although it is back: %v", absent)
	}
}
