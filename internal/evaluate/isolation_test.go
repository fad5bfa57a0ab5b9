package evaluate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// The owner keeps the name, whichever service comes first in the alphabet.
func TestNewServiceWithAConflictDoesNotFreezeTheOwner(t *testing.T) {
	for _, name := range []string{"aaa", "zzz"} {
		for what, text := range map[string]string{
			"Host":    service(name, everywhere, `hosts: ["web.web.global"]`, `egress: cart: {}`),
			"Address": service(name, everywhere, `vip: "241.1.2.3"`, `egress: cart: {}`),
			"Pods":    strings.ReplaceAll(service(name, everywhere, `egress: cart: {}`, `authorization: mode: "enforce"`), `namespace: "`+name+`", selector: app: "`+name+`"`, `namespace: "web", selector: app: "web"`),
		} {
			t.Run(name+what, func(t *testing.T) {
				inBoth(t, func(t *testing.T, cluster string) {
					r, f := newTree(t), follow(t, cluster)
					r.files["services/web.cue"] = service("web", everywhere, `egress: {cart: {}, stock: {}}`, `vip: "241.1.2.3"`)
					r.files["services/fan.cue"] = service("fan", everywhere, `egress: web: {}`)
					f.applies(r.commit(nil))
					f.applies(r.commit(map[string]string{"services/" + name + ".cue": text}))
					after := f.applies(r.commit(map[string]string{"services/web.cue": service("web", everywhere, `egress: cart: {}`, `vip: "241.1.2.3"`, `versions: v1: labels: version: "v1"`)}))
					if len(after.Frozen) > 0 || len(after.Broken[name]) == 0 {
						t.Errorf("%s is to blame, and nobody is frozen: %v %v", name, frozen(after), after.Broken)
					}
					delete(r.files, "services/"+name+".cue")
					same(t, "rendered", clean(t, r.commit(nil), cluster), texts(after.Rendered))
				})
			})
		}
	}
}

// The inventory and the externals did not change; the service did.
func TestServiceThatContradictsTheInventoryFreezesOnlyItself(t *testing.T) {
	for name, tc := range map[string]struct{ shared, cart string }{
		"NoGateway":       {"clusters: edge: region: \"z\"\n", service("cart", `placement: {east: {}, west: {}, edge: {}}`, `egress: stock: {}`)},
		"ExternalAddress": {"externals: db: {hosts: [\"db.example.com\"], ports: tcp: {port: 5432, protocol: \"TCP\"}, addresses: [\"1.2.3.4\"]}\n", service("cart", everywhere, `vip: "1.2.3.4"`, `egress: {stock: {}, db: {}}`)},
		"ExternalHost":    {"externals: zdb: {hosts: [\"db.example.com\"], ports: tls: {port: 443, protocol: \"TLS\"}}\n", service("cart", everywhere, `hosts: ["db.example.com"]`, `egress: {stock: {}, zdb: {}}`)},
		"ExternalHost2":   {"externals: adb: {hosts: [\"db.example.com\"], ports: tls: {port: 443, protocol: \"TLS\"}}\n", service("cart", everywhere, `hosts: ["db.example.com"]`, `egress: {stock: {}, adb: {}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				before := f.applies(r.commit(map[string]string{"shared.cue": "package config\n\n" + tc.shared}))
				good := r.revision()
				result, err := f.evaluator.Partial(t.Context(), r.commit(map[string]string{"services/cart.cue": tc.cart}), f.options())
				if err != nil {
					t.Fatalf("one service halts everything: %v", err)
				}
				same(t, "rendered", texts(before.Rendered), texts(result.Rendered))
				same(t, "frozen", map[string]string{"cart": good}, frozen(result))
			})
		})
	}
}

func TestUnparsableInventoryIsReported(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		f.applies(r.commit(nil))
		found := f.halts(r.commit(map[string]string{"clusters.cue": "package config\n\nclusters: {\n"}))
		if !slices.Contains(places(found), "clusters.cue") {
			t.Errorf("clusters.cue is not named: %v", found)
		}
		for _, f := range found {
			if f.Code == manifest.UnknownCluster {
				t.Errorf("nobody took %s out of the inventory: %v", cluster, f)
			}
		}
	})
}

// A service file with an error that makes it a shared file is still a service file.
func TestErrorOutsideOfAManifestFreezesOnlyTheServicesOfItsFile(t *testing.T) {
	for name, text := range map[string]string{
		"Brace":        strings.Replace(goodWeb, "\tegress: {cart: {}, stock: {}}\n}\n", "}\negress: {cart: {}, stock: {}}\n", 1),
		"Services":     strings.Replace(goodWeb, "services:", "servces:", 1),
		"Number":       "package config\n\nservices: 3\n",
		"Package":      strings.Replace(goodWeb, "package config", "package confg", 1),
		"NoPackage":    strings.Replace(goodWeb, "package config", "", 1),
		"OtherService": service("web", everywhere, `egress: cart: {}`, `hosts: services.cart.hosts`),
		"Computed":     "package config\n\nservices: {for n in [\"web\"] {(n): owner: 3}}\n",
		"Embed":        "@extern(embed)\n\n" + service("web", everywhere, `hosts: _ @embed(file="../../../../etc/hostname",type=text)`),
		"Extern":       "@extern(\"wasm\")\n\n" + service("web", everywhere, `vip: _ @extern("/tmp/foo.wasm",abi=c, sig="func(int64, int64): int64")`),
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				before := f.applies(r.commit(nil))
				good := r.revision()
				result, err := f.evaluator.Partial(t.Context(), r.commit(map[string]string{"services/web.cue": text}), f.options())
				if err != nil {
					t.Fatalf("one service halts everything: %v", err)
				}
				same(t, "rendered", texts(before.Rendered), texts(result.Rendered))
				same(t, "frozen", map[string]string{"web": good}, frozen(result))
			})
		})
	}
}

func TestRemovedServiceIsFrozenIfItMayBeInAnUnparsableFile(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		before := f.applies(r.commit(nil))
		after := f.applies(r.commit(map[string]string{"services/web.cue": "", "teams/web.cue": goodWeb + "}"}))
		same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
		after = f.applies(r.commit(map[string]string{"services/more.cue": service("more", everywhere)}))
		same(t, "rendered later", texts(before.Rendered), texts(after.Rendered))
		after = f.applies(r.commit(map[string]string{"teams/web.cue": goodWeb}))
		same(t, "mended", texts(before.Rendered), texts(after.Rendered))
	})
}

// A removed caller loses its access at once.
func TestCalleeThatRemovesACallerAcceptsNoOtherCaller(t *testing.T) {
	const policy = "AuthorizationPolicy/cart/isthmus-cart"
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		r.files["services/fan.cue"] = service("fan", everywhere, `egress: cart: {}`)
		before := texts(f.applies(r.commit(nil)).Rendered)
		good := r.revision()
		after := f.applies(r.commit(map[string]string{"services/cart.cue": service("cart", everywhere, `egress: stock: {}`, `authorization: {mode: "enforce", callers: ["fan"]}`)}))
		same(t, "frozen", map[string]string{"web": good}, frozen(after))
		now := texts(after.Rendered)
		if !strings.Contains(before[policy], "/ns/web/sa/web") || strings.Contains(now[policy], "/ns/web/sa/web") || !strings.Contains(now[policy], "/ns/fan/sa/fan") {
			t.Errorf("only fan is let in; before: %s\nnow: %s", before[policy], now[policy])
		}
		delete(before, policy)
		delete(now, policy)
		same(t, "everything else", before, now)
	})
}

func TestErrorIsReportedOnce(t *testing.T) {
	r, f := newTree(t), follow(t, "west")
	three := "package config\n\n" + definition("one") + definition("two") + definition("three")
	f.applies(r.commit(map[string]string{"services/team.cue": three}))
	after := f.applies(r.commit(map[string]string{"services/team.cue": three + "}"}))
	if found := after.Findings(); len(found) != 1 && len(found) != 3 {
		t.Errorf("one mistake, in a file of three services: %v", found)
	}
	_ = manifest.Findings{}
}

// A service with an error that moves to another cluster stays where it was, for all clusters.
func TestBrokenServiceIsFrozenInEveryCluster(t *testing.T) {
	for name, fields := range map[string][]string{
		"UnknownCallee":  {`placement: east: {}`, `egress: {carts: {}}`},
		"UnknownCluster": {`placement: {east: {}, north: {}}`},
		"SamePort":       {`placement: east: {}`, `ports: other: {port: 80, protocol: "HTTP"}`},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				r.files["services/fan.cue"] = service("fan", `placement: east: {}`, `egress: far: {}`)
				before := f.applies(r.commit(map[string]string{"services/far.cue": service("far", `placement: west: {}`)}))
				good := r.revision()
				after := f.applies(r.commit(map[string]string{"services/far.cue": service("far", fields...), "services/fan.cue": service("fan", `placement: east: {}`, `egress: far: {}`)}))
				same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
				same(t, "frozen", map[string]string{"far": good}, frozen(after))
				// West has nothing to do with it any more; its broken manifest is still not good.
				after = f.applies(r.commit(map[string]string{"services/other.cue": service("other")}))
				same(t, "frozen later", map[string]string{"far": good}, frozen(after))
			})
		})
	}
}

// A callee that never was good is like an external that does not respond.
func TestCallerOfANeverGoodServiceIsRenderedWithoutIt(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		first := f.applies(r.commit(map[string]string{"services/cart.cue": service("cart", everywhere, `spread: "wide"`)}))
		delete(r.files, "services/cart.cue")
		r.files["services/web.cue"] = service("web", everywhere, `egress: stock: {}`)
		same(t, "rendered", clean(t, r.commit(nil), cluster), texts(first.Rendered))
	})
}
