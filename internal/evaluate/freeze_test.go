package evaluate_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/test/support/long"
)

// brokenWebs are ways to break the service web, with the line and a part of the message.
var brokenWebs = map[string]struct {
	reason string
	text   string
	line   int
	says   string
}{
	"Schema":         {"a value of the wrong kind", service("web", everywhere, `egress: {cart: {}, stock: {}}`, `clusterHosts: "yes"`), 9, "mismatched types"},
	"OwnCheck":       {"an enum has no such member", service("web", everywhere, `egress: {cart: {}, stock: {}}`, `spread: "wide"`), 3, "spread must be nearest"},
	"Misspelt":       {"a typo must not drop all calls", service("web", everywhere, `egres: {cart: {}, stock: {}}`), 8, "not allowed"},
	"UnknownCallee":  {"the calls that are right are not taken away for the one that is wrong", service("web", everywhere, `egress: {carts: {}, stock: {}}`), 8, "unknown service carts"},
	"UnknownCluster": {"nor is it taken out of the clusters that there are", service("web", `placement: {east: {}, west: {}, north: {}}`), 7, "unknown cluster north"},
	"Unparsable":     {"nobody knows what the file defines", "package config\n\nservices: web: {\n\towner: \"tests\"\n", 4, "expected '}'"},
	"MergeConflict":  {"committed by mistake", "package config\n\n<<<<<<< HEAD\n" + definition("web") + "=======\n>>>>>>> theirs\n", 9, "expected"},
	"Missing":        {"what is missing is found by checks across services", strings.Replace(goodWeb, `owner: "tests"`, "", 1), 3, "owner is missing"},
	"NoReference":    {"it cannot even be built", service("web", everywhere, `hosts: [name]`), 8, `reference "name" not found`},
	"NoPackage":      {"it cannot even be loaded", "package config\n\nimport \"example.com/else\"\n\n" + definition("web", everywhere, `hosts: [else.host]`), 3, "example.com/else"},
	"Open":           {"a value that nobody chose", service("web", everywhere, `vip: "241.0.0.1" | "241.0.0.2"`), 8, "incomplete value"},
	"NoStruct":       {"no field of it is there", "package config\n\nservices: web: null\n", 3, "null"},
}

func TestBrokenCallerKeepsItsAccessAndObjects(t *testing.T) {
	for name, tc := range brokenWebs {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				before := f.applies(r.commit(nil))
				good := r.revision()
				after := f.applies(r.commit(map[string]string{"services/web.cue": tc.text}))
				same(t, tc.reason, texts(before.Rendered), texts(after.Rendered))
				same(t, "frozen", map[string]string{"web": good}, frozen(after))
				found := after.Broken["web"]
				if len(found) == 0 || found[0].Service != "web" || found[0].File != "services/web.cue" || found[0].Line != tc.line || !strings.Contains(found[0].Message, tc.says) {
					t.Errorf("web is to blame at services/web.cue:%d, which says %q: %v", tc.line, tc.says, found)
				}
				if len(after.Unknown) > 0 {
					t.Errorf("what was before is known, but lost are %q", after.Unknown)
				}
				if others := slices.DeleteFunc(places(after.Findings()), func(at string) bool { return strings.HasSuffix(at, "services/web.cue") }); len(others) > 0 {
					t.Errorf("nobody else is to blame: %q", others)
				}
				// Mended, it is as if nothing had been.
				mended := f.applies(r.commit(map[string]string{"services/web.cue": goodWeb}))
				same(t, "mended", texts(before.Rendered), texts(mended.Rendered))
				if len(mended.Frozen)+len(mended.Findings()) > 0 {
					t.Errorf("mended, it is frozen: %v, and has findings: %v", mended.Frozen, mended.Findings())
				}
			})
		})
	}
}

// This shows that the test above would fail without the frozen service.
func TestRemovedCallerLosesItsAccess(t *testing.T) {
	r, f := newTree(t), follow(t, "west")
	before := texts(f.applies(r.commit(nil)).Rendered)
	f.applies(r.commit(map[string]string{"services/web.cue": brokenWebs["Misspelt"].text}))
	after := f.applies(r.commit(map[string]string{"services/web.cue": ""}))
	const policy = "AuthorizationPolicy/stock/isthmus-stock"
	if !strings.Contains(before[policy], "/ns/web/sa/web") || strings.Contains(texts(after.Rendered)[policy], "/ns/web/sa/web") {
		t.Errorf("before: %s\nafter: %s", before[policy], after.Rendered[policy])
	}
	same(t, "a service that is frozen and then removed", clean(t, r.commit(nil), "west"), texts(after.Rendered))
	if len(after.Frozen)+len(after.Findings())+len(after.Unknown) > 0 {
		t.Errorf("nothing is broken any more: %v %v %v", after.Frozen, after.Findings(), after.Unknown)
	}
}

func TestBrokenCalleeDoesNotAffectItsCallers(t *testing.T) {
	for name, broken := range map[string]string{
		"Misspelt":   service("cart", everywhere, `egres: stock: {}`),
		"Unparsable": "package config\n\nservices: cart: {",
		"Unknown":    service("cart", everywhere, `egress: stocks: {}`),
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				f.applies(r.commit(nil))
				good := r.files["services/cart.cue"]
				// Others are added, changed and narrowed in the same commit.
				after := f.applies(r.commit(map[string]string{
					"services/cart.cue":  broken,
					"services/web.cue":   service("web", everywhere, `egress: {cart: {}, fresh: {}}`),
					"services/fresh.cue": service("fresh", everywhere, `egress: cart: {}`),
					"services/stock.cue": service("stock", `placement: west: {}`, `authorization: mode: "enforce"`, `versions: v1: labels: version: "v1"`),
				}))
				r.files["services/cart.cue"] = good
				same(t, "rendered", clean(t, r.commit(nil), cluster), texts(after.Rendered))
				same(t, "frozen", []string{"cart"}, slices.Sorted(maps.Keys(after.Frozen)))
			})
		})
	}
}

func TestUnparsableFileFreezesTheServicesThatItDefined(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		three := "package config\n\n" + definition("one", everywhere, `egress: cart: {}`) + definition("two", everywhere) + definition("three", everywhere, `egress: {one: {}, two: {}}`)
		before := f.applies(r.commit(map[string]string{"services/team.cue": three}))
		good := r.revision()
		after := f.applies(r.commit(map[string]string{"services/team.cue": three + "}"}))
		same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
		same(t, "frozen", map[string]string{"one": good, "two": good, "three": good}, frozen(after))
		for _, name := range []string{"one", "two", "three"} {
			if found := after.Broken[name]; len(found) != 1 || found[0].File != "services/team.cue" || found[0].Line != 23 {
				t.Errorf("%s: %v", name, found)
			}
		}
		// One of them breaks on its own later, when the others are mended.
		after = f.applies(r.commit(map[string]string{"services/team.cue": strings.Replace(three, "egress: cart: {}", "egress: card: {}", 1)}))
		same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
		same(t, "frozen", map[string]string{"one": good}, frozen(after))
	})
}

func TestServiceInTwoFilesIsFrozenWhenOneIsUnparsable(t *testing.T) {
	const placement = "package config\n\nservices: web: placement: {east: {}, west: {}}\n"
	inBoth(t, func(t *testing.T, cluster string) {
		for _, file := range []string{"services/web.cue", "platform/web.cue"} {
			t.Run(file, func(t *testing.T) {
				r, f := newTree(t), follow(t, cluster)
				before := f.applies(r.commit(map[string]string{"services/web.cue": service("web", `egress: {cart: {}, stock: {}}`), "platform/web.cue": placement}))
				good := r.revision()
				text := r.files[file]
				after := f.applies(r.commit(map[string]string{file: text + "}"}))
				same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
				same(t, "frozen", map[string]string{"web": good}, frozen(after))
				if found := after.Broken["web"]; len(found) == 0 || found[0].File != file {
					t.Errorf("%s is to blame: %v", file, found)
				}
				// The other half goes on meanwhile, to no effect.
				after = f.applies(r.commit(map[string]string{"services/other.cue": service("other", everywhere)}))
				same(t, "frozen", map[string]string{"web": good}, frozen(after))
				mended := f.applies(r.commit(map[string]string{file: text, "services/other.cue": ""}))
				same(t, "mended", texts(before.Rendered), texts(mended.Rendered))
			})
		}
	})
}

func TestServiceFrozenForManyCommitsDoesNotBlockOthers(t *testing.T) {
	// Each service changes in all four ways.
	others, commits := long.Or(12, 20), long.Or(48, 100)
	r, f := newTree(t), followCold(t, "west")
	for i := range others {
		name := fmt.Sprintf("s%02d", i)
		r.files["services/"+name+".cue"] = service(name, everywhere, `egress: cart: {}`)
	}
	f.applies(r.commit(nil))
	good := r.revision()
	f.applies(r.commit(map[string]string{"services/web.cue": brokenWebs["UnknownCallee"].text}))
	for i := range commits {
		changed := fmt.Sprintf("s%02d", i%others)
		text := map[int]string{
			0: service(changed, everywhere, `egress: {cart: {}, stock: {}}`),
			1: service(changed, `placement: east: {}`, `egress: stock: {}`),
			2: "",
			3: service(changed, everywhere, `egress: cart: {}`),
		}[i/others%4]
		after := f.applies(r.commit(map[string]string{"services/" + changed + ".cue": text}))
		same(t, "frozen", map[string]string{"web": good}, frozen(after))
		// The commit's own service, the broken one, and the two that they call, some of them once more without the broken one.
		if w := after.Work; w.Parsed > 1 || w.Evaluated > 1 || w.Rendered > 8 || w.Calls > 6 {
			t.Errorf("commit %d of one service cost %+v", i, w)
		}
		if (i+1)%others != 0 {
			continue
		}
		effective := &tree{files: maps.Clone(r.files)}
		effective.files["services/web.cue"] = goodWeb
		same(t, fmt.Sprintf("after %d commits", i+1), clean(t, effective.commit(nil), "west"), texts(after.Rendered))
	}
}

func TestCallerOfARemovedServiceIsReportedAndFrozen(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		before := f.applies(r.commit(nil))
		good := r.revision()
		after := f.applies(r.commit(map[string]string{"services/cart.cue": ""}))
		same(t, "frozen", map[string]string{"web": good}, frozen(after))
		same(t, "findings", manifest.Findings{{
			Service: "web", Path: "services.web.egress.cart", File: "services/web.cue", Line: 8, Column: 11, Message: "service web calls unknown service cart",
		}}, after.Findings())
		if len(after.Unknown) > 0 {
			t.Errorf("lost: %q", after.Unknown)
		}
		// As if web did not call it any more.
		r.files["services/web.cue"] = service("web", everywhere, `egress: stock: {}`)
		same(t, "rendered", clean(t, r.commit(nil), cluster), texts(after.Rendered))
		r.files["services/web.cue"] = goodWeb
		after = f.applies(r.commit(map[string]string{"services/cart.cue": service("cart", everywhere, `egress: stock: {}`, `authorization: mode: "enforce"`)}))
		same(t, "back", texts(before.Rendered), texts(after.Rendered))
	})
}
