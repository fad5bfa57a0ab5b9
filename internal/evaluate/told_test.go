package evaluate_test

import (
	"slices"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

func TestErrorInSharedFilesRejectsTheCommit(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		files  map[string]string
		file   string
	}{
		"Inventory":       {"where would calls go?", map[string]string{"clusters.cue": "package config\n\nclusters: {east: {region: \"a\"}, west: {regoin: \"b\"}}\n"}, "clusters.cue"},
		"InventoryCheck":  {"two gateways of one address", map[string]string{"more.cue": "package config\n\nclusters: north: {region: \"n\", gateways: [{address: \"192.0.2.10\"}]}\n"}, "more.cue"},
		"Setting":         {"it may be what guards all", map[string]string{"settings.cue": "package config\n\nsettings: authorization: mode: \"enforced\"\n"}, "settings.cue"},
		"Template":        {"all are made with it", map[string]string{"template.cue": "package config\n\n#template: resources: [=~\"^ServiceEntry/\"]: spec: hosts: 3\n"}, ""},
		"External":        {"it is nobody's alone", map[string]string{"externals.cue": "package config\n\nexternals: bank: {hosts: [\"bank.example.com\"], prots: {}}\n"}, "externals.cue"},
		"UnparsableMesh":  {"the settings and the template are gone", map[string]string{"mesh.cue": "package config\n\nsettings: {\n"}, "mesh.cue"},
		"UnparsableShare": {"nobody knows what it was to change", map[string]string{"extra.cue": "package config\n\nsettings: namespaceLabels: {\n"}, "extra.cue"},
		"Module":          {"nothing can be read without it", map[string]string{"cue.mod/module.cue": "module: {\n"}, "cue.mod/module.cue"},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				r.files["extra.cue"] = "package config\n\nsettings: namespaceLabels: team: \"x\"\n"
				f.applies(r.commit(nil))
				tc.files["services/cart.cue"] = service("cart", everywhere)
				found := f.halts(r.commit(tc.files))
				if !slices.ContainsFunc(found, func(f manifest.Finding) bool { return tc.file == "" || f.File == tc.file }) {
					t.Errorf("%s: %s is not named: %v", tc.reason, tc.file, found)
				}
			})
		})
	}
}

func TestEveryErrorIsReported(t *testing.T) {
	r, f := newTree(t), follow(t, "west")
	f.applies(r.commit(nil))
	after := f.applies(r.commit(map[string]string{
		"services/web.cue":   service("web", everywhere, `egress: {carts: {}, stocks: {}}`, `placement: north: {}`),
		"services/cart.cue":  "package config\n\nservices: cart: {",
		"services/stock.cue": service("stock", `placement: west: {}`, `spread: "wide"`, `authorization: mode: "no"`),
		"services/new.cue":   service("new", `ports: http: port: 0`),
	}))
	said := map[string]int{}
	for _, f := range after.Findings() {
		if f.File == "" || f.Line == 0 || f.Message == "" {
			t.Errorf("without a place: %+v", f)
		}
		said[f.Service]++
	}
	if said["web"] != 3 || said["cart"] != 1 || said["stock"] < 2 || said["new"] == 0 {
		t.Errorf("told: %v\n%v", said, after.Findings())
	}
}
