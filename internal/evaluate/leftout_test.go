package evaluate_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestNeverGoodServiceIsNotRendered(t *testing.T) {
	for name, tc := range brokenWebs {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				r.files["services/web.cue"] = ""
				want := clean(t, r.commit(map[string]string{"services/web.cue": ""}), cluster)
				first := f.applies(r.commit(map[string]string{"services/web.cue": tc.text}))
				same(t, "rendered", want, texts(first.Rendered))
				if len(first.Findings()) == 0 || len(first.Frozen)+len(first.Unknown) > 0 {
					t.Errorf("it is told, and neither frozen nor lost: %v %v %v", first.Findings(), first.Frozen, first.Unknown)
				}
				// Whoever calls it has a call of nobody.
				second := f.applies(r.commit(map[string]string{"services/fan.cue": service("fan", everywhere, `egress: web: {}`)}))
				same(t, "rendered", want, texts(second.Rendered))
				second = f.applies(r.commit(map[string]string{"services/web.cue": goodWeb}))
				same(t, "mended", clean(t, r.commit(nil), cluster), texts(second.Rendered))
			})
		})
	}
}

func TestNewServiceWithAConflictIsNotRendered(t *testing.T) {
	// Whichever name comes first.
	for _, name := range []string{"aaa", "zzz"} {
		for what, text := range map[string]string{
			"Host":    service(name, everywhere, `hosts: ["web.web.global"]`, `egress: cart: {}`),
			"Address": service(name, everywhere, `vip: "241.1.2.3"`, `egress: cart: {}`),
			"Pods":    strings.ReplaceAll(service(name, everywhere, `egress: cart: {}`, `authorization: mode: "enforce"`), fmt.Sprintf("namespace: %q, selector: app: %q", name, name), `namespace: "web", selector: app: "web"`),
		} {
			t.Run(name+what, func(t *testing.T) {
				inBoth(t, func(t *testing.T, cluster string) {
					r, f := newTree(t), follow(t, cluster)
					r.files["services/web.cue"] = service("web", everywhere, `egress: {cart: {}, stock: {}}`, `vip: "241.1.2.3"`)
					r.files["services/fan.cue"] = service("fan", everywhere, `egress: web: {}`)
					before := f.applies(r.commit(nil))
					after := f.applies(r.commit(map[string]string{"services/" + name + ".cue": text}))
					same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
					if _, let := after.Mesh.Services[name]; let {
						t.Errorf("%s is let in", name)
					}
					after = f.applies(r.commit(map[string]string{"services/" + name + ".cue": service(name, everywhere)}))
					if len(after.Findings())+len(after.Frozen) > 0 {
						t.Errorf("mended: %v %v", after.Findings(), after.Frozen)
					}
				})
			})
		}
	}
}

func TestNewUnparsableFileIsReportedAndFreezesNothing(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		before := f.applies(r.commit(nil))
		for range 2 {
			after := f.applies(r.commit(map[string]string{"services/new.cue": "package config\n\nservices: new: {"}))
			same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
			same(t, "told", []string{"services/new.cue"}, places(after.Findings()))
			if len(after.Frozen)+len(after.Unknown) > 0 {
				t.Errorf("frozen: %v, lost: %v", after.Frozen, after.Unknown)
			}
		}
	})
}
