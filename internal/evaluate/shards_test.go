package evaluate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

const (
	inModule = "cue.mod/pkg/isthmus.dev/mesh/"
	// obstacle is a file that prevents sharding.
	obstacle = "package config\n\n_count: len(services)\n"
)

// cart is the file of cart in newTree with a prefix and with more fields. Without a prefix the first
// of these fields is in line 9.
func cart(before string, more ...string) string {
	return "package config\n\n" + before + definition("cart", append([]string{everywhere, `egress: stock: {}`}, more...)...)
}

// reading is a shared file whose template adds a text to each DestinationRule.
func reading(text string) string {
	return "package config\n\n#template: {service: _, resources: [=~\"^DestinationRule/\"]: metadata: annotations: text: " + text + "}\n"
}

// inOnePiece is the rendering of a repository that is evaluated in one piece.
func inOnePiece(t *testing.T, files map[string]string, cluster string) map[string]string {
	t.Helper()
	files = maps.Clone(files)
	files["obstacle.cue"] = obstacle
	result := reference(t, snapshot(strings.Repeat("f", 40), files), cluster)
	if !result.Work.Unsharded {
		t.Fatal("what this test compares with was evaluated in shards")
	}
	return sorted(t, result.Rendered)
}

// sorted returns objects with sorted keys.
func sorted(t *testing.T, rendered map[string]json.RawMessage) map[string]string {
	t.Helper()
	out := make(map[string]string, len(rendered))
	for key, object := range rendered {
		in := json.NewDecoder(bytes.NewReader(object))
		in.UseNumber()
		var value any
		if err := in.Decode(&value); err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(text)
	}
	return out
}

func TestShardableRepositories(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		files  map[string]string
	}{
		"Each":            {"one file a service", nil},
		"Several":         {"or several in a file", map[string]string{"services/web.cue": goodWeb + definition("one", everywhere) + definition("two", everywhere, `egress: one: {}`)}},
		"SeveralInOne":    {"or in one struct", map[string]string{"services/two.cue": "package config\n\nservices: {\n" + strings.ReplaceAll(definition("one")+definition("two"), "services: ", "") + "}\n"}},
		"Split":           {"owner and placement, team and platform", map[string]string{"services/cart.cue": service("cart", `egress: stock: {}`), "platform/cart.cue": "package config\n\nservices: cart: placement: {east: {}, west: {}}\n"}},
		"Subfolder":       {"folders mean nothing", map[string]string{"services/cart.cue": "", "teams/a/b/shop.cue": cart("")}},
		"Root":            {"not even the root", map[string]string{"services/cart.cue": "", "cart.cue": cart("")}},
		"Quoted":          {"the same field", map[string]string{"services/cart.cue": strings.Replace(cart(""), "services:", `"services":`, 1)}},
		"Let":             {"of the file", map[string]string{"services/cart.cue": cart("let domain = \"example.com\"\n\n", `hosts: ["cart.\(domain)"]`)}},
		"LetInside":       {"of the service", map[string]string{"services/cart.cue": cart("", `let domain = "example.com"`, `hosts: ["cart.\(domain)"]`)}},
		"Alias":           {"of something in the service", map[string]string{"services/cart.cue": cart("", `B=backend: _`, `hosts: ["\(B.namespace).example.com"]`)}},
		"ValueAlias":      {"of the service's value", map[string]string{"services/cart.cue": strings.Replace(cart("", `hosts: ["\(C.backend.namespace).example.com"]`), `"cart": {`, `"cart": C={`, 1)}},
		"Standard":        {"an import of the standard library", map[string]string{"services/cart.cue": strings.Replace(cart("", `hosts: [strings.ToLower("CART.example.com")]`), "config\n", "config\n\nimport \"strings\"\n", 1)}},
		"Import":          {"an import of the module's own", map[string]string{"lib/names/names.cue": "package names\n\n#Of: {name: string, out: \"\\(name).example.com\"}\n", "services/cart.cue": strings.Replace(cart("", `hosts: [(names.#Of & {name: "cart"}).out]`), "config\n", "config\n\nimport \"example.com/quickstart/lib/names\"\n", 1)}},
		"Attribute":       {"that nobody knows", map[string]string{"services/cart.cue": cart("", `@reviewed(by=ada)`, `clusterHosts: true @since(v1)`)}},
		"Tag":             {"of a field", map[string]string{"services/cart.cue": cart("", `clusterHosts: *true | bool @tag(hosts,type=bool)`)}},
		"Experiment":      {"the one that the module has", map[string]string{"services/cart.cue": "@experiment(explicitopen)\n\n" + cart("")}},
		"Cluster":         {"a manifest that is another one in each", map[string]string{"services/cart.cue": cart("", `if cluster == "east" {hosts: ["cart.example.com"]}`)}},
		"Setting":         {"a reference to what is shared", map[string]string{"services/cart.cue": cart("", `hosts: ["cart.\(settings.domain)"]`)}},
		"Base":            {"a base that is shared", map[string]string{"base.cue": "package config\n\n_base: {clusterHosts: *true | bool}\n", "services/cart.cue": cart("", `_base`)}},
		"Pattern":         {"shared, over services", map[string]string{"base.cue": "package config\n\nservices: [=~\"^c\"]: clusterHosts: true\nservices: [N=string]: hosts: [\"\\(N).example.com\"]\n"}},
		"Any":             {"shared, and says nothing", map[string]string{"base.cue": "package config\n\nservices: _\n"}},
		"Computed":        {"shared, and makes no services", map[string]string{"north.cue": "package config\n\nfor n in [\"north\"] {clusters: (n): {region: n, gateways: [{address: \"192.0.2.30\"}]}}\nif true {settings: namespaceLabels: team: \"x\"}\n"}},
		"Hidden":          {"what nothing else looks at", map[string]string{"services/cart.cue": cart("", `_domain: "example.com"`, `hosts: ["cart.\(_domain)"]`)}},
		"Template":        {"reads what all have", map[string]string{"text.cue": reading(`service.owner`)}},
		"TemplateChooses": {"another value than a default", map[string]string{"text.cue": "package config\n\nservices: [string]: traffic: connectionPool: text: *\"a\" | string\n#template: service: traffic: connectionPool: text: \"b\"\n"}},
		"TemplateOnce":    {"only for a cluster", map[string]string{"text.cue": "package config\n\n#template: {cluster: _, resources: {if cluster == \"east\" {[=~\"^DestinationRule/\"]: metadata: annotations: text: \"here\"}}}\n"}},
		"Unread":          {"what CUE does not read", map[string]string{"_drafts/x.cue": obstacle, "x_tool.cue": obstacle, "x_test.cue": obstacle, ".x/x.cue": obstacle, "x.txt": obstacle}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTree(t)
			result, err := evaluate.Evaluate(t.Context(), r.commit(tc.files), evaluate.Options{Cluster: "east"})
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if len(result.Unshardable) > 0 || result.Work.Unsharded || result.LastKnownGood == nil {
				t.Errorf("%s: in one piece, for %v", tc.reason, result.Unshardable)
			}
			same(t, tc.reason+": as in one piece", inOnePiece(t, r.files, "east"), sorted(t, result.Rendered))
		})
	}
}

func TestObstacleToShardingIsReported(t *testing.T) {
	const beside, computes, name = "defines services and other fields", "computes", "computes the name of a service, or defines an alias for it"
	vendored := newTree(t).files
	for _, tc := range []struct {
		reason string
		files  map[string]string
		file   string
		line   int
		says   string
	}{
		{"a setting", map[string]string{"services/cart.cue": cart("settings: namespaceLabels: team: \"x\"\n\n")}, "services/cart.cue", 3, beside},
		{"a hidden field", map[string]string{"services/cart.cue": cart("") + "_owner: \"x\"\n"}, "services/cart.cue", 10, beside},
		{"a pattern", map[string]string{"services/cart.cue": cart("") + "services: [string]: clusterHosts: true\n"}, "services/cart.cue", 10, beside},
		{"an ellipsis", map[string]string{"services/cart.cue": cart("") + "services: {...}\n"}, "services/cart.cue", 10, beside},
		{"a build attribute", map[string]string{"services/cart.cue": "@if(!next)\n\n" + cart("")}, "services/cart.cue", 1, beside},
		{"a file of data", map[string]string{"services/cart.cue": "@extern(embed)\n\n" + cart("", `hosts: _ @embed(file=hosts.json)`), "services/hosts.json": `["cart.example.com"]`}, "services/cart.cue", 1, beside},
		{"a name with a part", map[string]string{"services/cart.cue": strings.Replace(cart(""), `"cart": {`, `"ca\("rt")": {`, 1)}, "services/cart.cue", 3, name},
		{"a name that is a value", map[string]string{"services/cart.cue": strings.Replace(cart(""), `"cart": {`, `("cart"): {`, 1)}, "services/cart.cue", 3, name},
		{"an optional service", map[string]string{"services/cart.cue": cart("") + "services: extra?: owner: \"x\"\n"}, "services/cart.cue", 10, name},
		{"a hidden service", map[string]string{"services/cart.cue": cart("") + "services: _extra: owner: \"x\"\n"}, "services/cart.cue", 10, name},
		{"an alias of a service", map[string]string{"services/cart.cue": strings.Replace(cart("", `hosts: ["\(X.backend.namespace).example.com"]`), `"cart": {`, `X="cart": {`, 1)}, "services/cart.cue", 3, name},
		{"an alias of all services", map[string]string{"services/cart.cue": strings.Replace(cart("", `hosts: ["\(X.stock.backend.namespace).example.com"]`), "services:", "X=services:", 1)}, "services/cart.cue", 3, "defines an alias for services"},
		{"services made of two", map[string]string{"services/cart.cue": "package config\n\nservices: {stock: clusterHosts: true} & {stock: _}\n" + definition("cart", everywhere, `egress: stock: {}`)}, "services/cart.cue", 3, "not a struct literal"},
		{"services from a list", map[string]string{"services/cart.cue": "package config\n\nservices: {for n in [\"cart\"] {(n): " + strings.TrimPrefix(definition("cart", everywhere, `egress: stock: {}`), `services: "cart": `) + "}}\n"}, "services/cart.cue", 3, "computes services"},
		{"everything from a list", map[string]string{"services/cart.cue": "package config\n\nfor n in [\"cart\"] {\n\t" + strings.Replace(definition("cart", everywhere, `egress: stock: {}`), `"cart"`, "(n)", 1) + "}\n"}, "services/cart.cue", 4, computes + " fields of the mesh"},
		{"a service on a condition", map[string]string{"services/cart.cue": "package config\n\nif true {\n\t" + definition("cart", everywhere, `egress: stock: {}`) + "}\n"}, "services/cart.cue", 4, computes},
		{"a template on a condition", map[string]string{"text.cue": "package config\n\nif true {\n\t#template: resources: _\n}\n"}, "text.cue", 4, computes},
		{"a name of the root on a condition", map[string]string{"text.cue": "package config\n\nif true {\n\t\"\\(\"externals\")\": _\n}\n"}, "text.cue", 4, computes},
		{"another service", map[string]string{"services/cart.cue": cart("", `hosts: ["cart.\(services.stock.backend.namespace).example.com"]`)}, "services/cart.cue", 9, "refers to services"},
		{"another service, through a let", map[string]string{"services/cart.cue": cart("let other = services.stock\n\n", `hosts: ["cart.\(other.backend.namespace).example.com"]`)}, "services/cart.cue", 3, "refers to services"},
		{"all services", map[string]string{"count.cue": obstacle}, "count.cue", 3, "refers to services"},
		{"all services, in a pattern", map[string]string{"count.cue": "package config\n\nservices: [string]: clusterHosts: len(services) > 0\n"}, "count.cue", 3, "refers to services"},
		{"all services, in the template", map[string]string{"text.cue": reading(`"\(len(services))"`)}, "text.cue", 3, "refers to services"},
		{"self", map[string]string{"more.cue": "package config\n\n_x: {self: 1, y: self}\n"}, "more.cue", 3, "the mesh as a whole"},
		{"self, as aliasv2 has it", map[string]string{"services/cart.cue": "@experiment(aliasv2)\n\n" + cart("")}, "services/cart.cue", 1, "aliasv2"},
		{"another experiment", map[string]string{"more.cue": "@experiment(try)\n\npackage config\n\n_x: 1\n"}, "more.cue", 1, "try"},
		{"an embedded struct", map[string]string{"more.cue": "package config\n\n_more: {settings: _}\n_more\n"}, "more.cue", 4, "may define services"},
		{"a hidden field that the template sees", map[string]string{"services/cart.cue": cart("", `_team: "shop"`), "text.cue": reading(`*service._team | "none"`)}, "services/cart.cue", 9, "_team"},
		{"a hidden field that a pattern brings", map[string]string{"base.cue": "package config\n\nservices: [string]: {owner: string, _team: \"team \" + owner}\n", "text.cue": reading(`service._team`)}, "base.cue", 3, "_team"},
		{"a module that was changed", map[string]string{inModule + "vip.cue": vendored[inModule+"vip.cue"] + "// changed\n"}, inModule + "vip.cue", 0, "another version"},
		{"a module with one file more", map[string]string{inModule + "more.cue": "package mesh\n"}, inModule + "more.cue", 0, "another version"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			result, err := evaluate.Evaluate(t.Context(), newTree(t).commit(tc.files), evaluate.Options{Cluster: "east"})
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Unshardable) != 1 || !result.Work.Unsharded || result.LastKnownGood != nil {
				t.Fatalf("in one piece: %v, for %v", result.Work.Unsharded, result.Unshardable)
			}
			if w := result.Unshardable[0]; w.File != tc.file || w.Line != tc.line || !strings.Contains(w.Message, tc.says) {
				t.Errorf("the reason is %q at %s:%d, want %q at %s:%d", w.Message, w.File, w.Line, tc.says, tc.file, tc.line)
			}
			if len(result.Rendered) < 7 {
				t.Errorf("it is rendered all the same, but only %d objects", len(result.Rendered))
			}
		})
	}
}

func TestEveryFileWithAnObstacleIsReported(t *testing.T) {
	result, err := evaluate.Evaluate(t.Context(), newTree(t).commit(map[string]string{
		"count.cue":           obstacle,
		"services/cart.cue":   cart("settings: _\n\n"),
		inModule + "more.cue": "package mesh\n",
	}), evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "files", []string{"count.cue", inModule + "more.cue", "services/cart.cue"}, places(result.Unshardable))
}

// wider is newTree with two more services: alone in east, which has no calls, and far in west, which
// is called there.
func wider(t *testing.T) *tree {
	r := newTree(t)
	r.files["services/alone.cue"] = service("alone", `placement: east: {}`)
	r.files["services/far.cue"] = service("far", `placement: west: {}`, versions)
	r.files["services/farther.cue"] = service("farther", `placement: west: {}`, `egress: far: {}`)
	return r
}

const versions = `versions: {v1: labels: version: "v1", v2: labels: version: "v2"}`

func TestOnlyChangesAreEvaluatedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		reason                      string
		files                       map[string]string
		parsed, evaluated, rendered int
	}{
		"Nothing":       {"the same files in another commit", nil, 0, 0, 0},
		"Readme":        {"no file of CUE", map[string]string{"README.md": "Hello\n"}, 0, 0, 0},
		"Comment":       {"the same manifest in another file", map[string]string{"services/web.cue": goodWeb + "// A comment.\n"}, 1, 1, 0},
		"Owner":         {"nobody else's business", map[string]string{"services/web.cue": strings.Replace(goodWeb, `"tests"`, `"others"`, 1)}, 1, 1, 1},
		"Identity":      {"its callees let it in by that", map[string]string{"services/web.cue": strings.Replace(goodWeb, `serviceAccounts: ["web"]`, `serviceAccounts: ["web", "www"]`, 1)}, 1, 1, 3},
		"Hosts":         {"its callers call it by that: web and cart", map[string]string{"services/stock.cue": service("stock", `placement: west: {}`, `authorization: mode: "enforce"`, `hosts: ["stock.example.com"]`)}, 1, 1, 3},
		"New":           {"one more caller of cart", map[string]string{"services/new.cue": service("new", `placement: east: {}`, `egress: cart: {}`)}, 1, 1, 2},
		"Gone":          {"one caller of cart and stock less", map[string]string{"services/web.cue": ""}, 0, 0, 2},
		"Moved":         {"into another file", map[string]string{"services/web.cue": "", "teams/web.cue": goodWeb}, 1, 1, 0},
		"FarRoute":      {"far away", map[string]string{"services/far.cue": service("far", `placement: west: {}`, versions, `routes: [{to: [{version: "v1"}]}]`)}, 1, 1, 0},
		"Template":      {"all are made with it", map[string]string{"text.cue": reading(`service.owner`)}, 1, 6, 4},
		"OtherTemplate": {"what a manifest is evaluated with, is not what it is", map[string]string{"text.cue": "package config\n\n_unused: true\n"}, 1, 6, 4},
	} {
		t.Run(name, func(t *testing.T) {
			r, e := wider(t), evaluate.New(evaluate.Limits{}, nil)
			before := evaluated(t, e, r.commit(nil), evaluate.Options{Cluster: "east"})
			if w := before.Work; w.Unsharded || w.Evaluated != 6 || w.Rendered != 4 || w.Parsed != 9 || w.Calls == 0 {
				t.Fatalf("at first: %+v", w)
			}
			after := evaluated(t, e, r.commit(tc.files), evaluate.Options{Cluster: "east"})
			if w := after.Work; w.Unsharded || w.Parsed != tc.parsed || w.Evaluated != tc.evaluated || w.Rendered != tc.rendered {
				t.Errorf("%s: %+v, want %d parsed, %d evaluated, %d rendered", tc.reason, w, tc.parsed, tc.evaluated, tc.rendered)
			}
			if w := after.Work; tc.parsed+tc.evaluated+tc.rendered == 0 && w.Calls != 0 || w.Calls > 5 {
				t.Errorf("%s: %d calls", tc.reason, w.Calls)
			}
			same(t, "as in one piece", inOnePiece(t, r.files, "east"), sorted(t, after.Rendered))
		})
	}
}

// Every cluster checks a changed service.
func TestRouteOfAnUnrelatedServiceChangesNothing(t *testing.T) {
	r, f := wider(t), followCold(t, "east")
	before := f.applies(r.commit(nil))
	after := f.applies(r.commit(map[string]string{"services/far.cue": service("far", `placement: west: {}`, versions, `routes: [{to: [{version: "v1"}]}]`)}))
	same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
	if w := after.Work; w.Parsed != 1 || w.Evaluated != 1 || w.Rendered != 1 {
		t.Errorf("%+v", w)
	}
}

func evaluated(t *testing.T, e *evaluate.Evaluator, snap *source.Snapshot, opts evaluate.Options) *evaluate.Result {
	t.Helper()
	result, err := e.Evaluate(t.Context(), snap, opts)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func opened(t *testing.T, dir string) *cache.Store {
	t.Helper()
	store, err := cache.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// generations of a repository: services come, go, move and change, and so does what they share.
func generations(r *tree) []map[string]string {
	return []map[string]string{
		nil,
		{"services/web.cue": strings.Replace(goodWeb, "cart: {}, ", "", 1)},
		{"services/new.cue": service("new", everywhere, `egress: web: {}`, `clusterHosts: true`)},
		{"services/cart.cue": "", "services/more.cue": service("cart", everywhere, `if cluster == "east" {hosts: ["cart.example.com"]}`) + definition("more", everywhere, `egress: {cart: {}, far: {}}`)},
		{"externals.cue": "package config\n\nexternals: bank: {hosts: [\"bank.example.com\"], ports: https: {port: 443, protocol: \"TLS\"}}\n", "services/web.cue": service("web", everywhere, `egress: bank: {}`)},
		{"text.cue": strings.Replace(reading(`json.Marshal(service.placement)`), "config\n", "config\n\nimport \"encoding/json\"\n", 1)},
		{"clusters.cue": strings.Replace(r.files["clusters.cue"], `"us-west1"`, `"us-east1"`, 1), "services/far.cue": service("far", everywhere, versions, `routes: [{to: [{version: "v1"}]}]`)},
	}
}

func TestResultDoesNotDependOnTheCache(t *testing.T) {
	dir := t.TempDir()
	r, warm := wider(t), evaluate.New(evaluate.Limits{}, opened(t, dir))
	for i, files := range generations(r) {
		snap := r.commit(files)
		for _, cluster := range []string{"east", "west"} {
			opts := evaluate.Options{Cluster: cluster}
			kept := evaluated(t, warm, snap, opts)
			cold := evaluated(t, evaluate.New(evaluate.Limits{}, nil), snap, opts)
			read := evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, opts)
			what := fmt.Sprintf("commit %d for %s, ", i, cluster)
			same(t, what+"warm", texts(cold.Rendered), texts(kept.Rendered))
			same(t, what+"from disk", texts(cold.Rendered), texts(read.Rendered))
			same(t, what+"mesh, warm", cold.Mesh, kept.Mesh)
			same(t, what+"mesh, from disk", cold.Mesh, read.Mesh)
			same(t, what+"as in one piece", inOnePiece(t, r.files, cluster), sorted(t, cold.Rendered))
			same(t, what+"work, from disk", evaluate.Work{}, read.Work)
		}
	}
}

// Results of one cluster, or without a cluster, must not be used for another.
func TestClustersShareACache(t *testing.T) {
	dir := t.TempDir()
	r := wider(t)
	r.files["services/cart.cue"] = cart("", `if cluster == "east" {hosts: ["cart.example.com"]}`)
	snap := r.commit(nil)
	for _, cluster := range []string{"", "west", "east"} {
		read := evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, evaluate.Options{Cluster: cluster})
		if cluster != "" {
			same(t, cluster, inOnePiece(t, r.files, cluster), sorted(t, read.Rendered))
		}
		var want []string
		if cluster == "east" {
			want = []string{"cart.example.com"}
		}
		same(t, "hosts for "+cluster, want, read.Mesh.Services["cart"].Hosts)
	}
}

func TestDamagedCacheIsComputedAgain(t *testing.T) {
	r := wider(t)
	r.files["text.cue"] = reading(`service.owner`)
	snap, opts := r.commit(nil), evaluate.Options{Cluster: "east"}
	cold := evaluated(t, evaluate.New(evaluate.Limits{}, nil), snap, opts)
	if cold.Work.Evaluated == 0 || cold.Work.Rendered == 0 {
		t.Fatalf("%+v", cold.Work)
	}
	flip := func(at func(length int) int) func([]byte) []byte {
		return func(data []byte) []byte {
			data[at(len(data))] ^= 0x20
			return data
		}
	}
	for name, damage := range map[string]func(data []byte) []byte{
		"First":     flip(func(int) int { return 0 }),
		"Quarter":   flip(func(n int) int { return n / 4 }),
		"Middle":    flip(func(n int) int { return n / 2 }),
		"Last":      flip(func(n int) int { return n - 1 }),
		"Half":      func(data []byte) []byte { return data[:len(data)/2] },
		"AllButOne": func(data []byte) []byte { return data[:len(data)-1] },
		"Empty":     func([]byte) []byte { return nil },
		"OneMore":   func(data []byte) []byte { return append(data, ' ') },
		"Noise":     func(data []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(data)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, opts)
			files := cached(t, dir)
			for _, path := range files {
				data, err := os.ReadFile(path)
				if err == nil {
					err = os.WriteFile(path, damage(data), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			store := opened(t, dir)
			again := evaluated(t, evaluate.New(evaluate.Limits{}, store), snap, opts)
			same(t, "rendered", texts(cold.Rendered), texts(again.Rendered))
			same(t, "work", cold.Work, again.Work)
			if found := store.Stats().Corrupt; found != int64(len(files)) {
				t.Errorf("%d of %d damaged files were noticed", found, len(files))
			}
			// What was computed has taken the place of what was damaged.
			same(t, "work, next time", evaluate.Work{}, evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, opts).Work)
		})
	}
	t.Run("One", func(t *testing.T) {
		dir := t.TempDir()
		evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, opts)
		for _, path := range cached(t, dir) {
			data, err := os.ReadFile(path)
			if err == nil {
				data[len(data)/2] ^= 0x20
				err = os.WriteFile(path, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			again := evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, opts)
			same(t, "rendered", texts(cold.Rendered), texts(again.Rendered))
			if again.Work.Calls == 0 || again.Work.Evaluated+again.Work.Rendered == cold.Work.Evaluated+cold.Work.Rendered {
				t.Errorf("without %s: %+v", filepath.Base(path), again.Work)
			}
		}
	})
	t.Run("Exchanged", func(t *testing.T) {
		dir := t.TempDir()
		evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, opts)
		files := cached(t, dir)
		first, err := os.ReadFile(files[0])
		for i := 0; err == nil && i+1 < len(files); i++ {
			var next []byte
			if next, err = os.ReadFile(files[i+1]); err == nil {
				err = os.WriteFile(files[i], next, 0o600)
			}
		}
		if err == nil {
			err = os.WriteFile(files[len(files)-1], first, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		again := evaluated(t, evaluate.New(evaluate.Limits{}, opened(t, dir)), snap, opts)
		same(t, "rendered", texts(cold.Rendered), texts(again.Rendered))
		same(t, "work", cold.Work, again.Work)
	})
}

// cached are the files of a cache.
func cached(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("the cache has %d files: %v", len(files), err)
	}
	return files
}

// discerning are templates that distinguish manifests with equal data, with the expected text on a
// DestinationRule of cart.
var discerning = map[string]struct{ text, says string }{
	// The order of fields depends on all their definitions, including the template.
	"Text": {
		"package config\n\nimport \"encoding/json\"\n\n#template: {service: {egress: _, backend: _, ...}, resources: [=~\"^DestinationRule/\"]: metadata: annotations: text: json.Marshal(service)}\n",
		`\"egress\":{\"stock\":{}},\"owner\":\"tests\",\"placement\":{\"east\":{},\"west\":{}},\"ports\"`,
	},
	"Yaml": {
		"package config\n\nimport y \"encoding/yaml\"\n\n#template: {service: {egress: _, backend: _, ...}, resources: [=~\"^DestinationRule/\"]: metadata: annotations: text: y.Marshal(service)}\n",
		`stock: {}\nowner: tests\nplacement:\n  east: {}\n  west: {}\nports`,
	},
	"OfAModule": {
		"package config\n\nimport \"example.com/quickstart/lib/text\"\n\n#template: {service: {egress: _, backend: _, ...}, let made = text.#Of & {manifest: service}, resources: [=~\"^DestinationRule/\"]: metadata: annotations: text: made.out}\n",
		`\"egress\":{\"stock\":{}},\"owner\":\"tests\",\"placement\":{\"east\":{},\"west\":{}},\"ports\"`,
	},
	"Narrow": {
		"package config\n\nservices: [string]: traffic: connectionPool: text: *\"y\" | string\n\n#template: service: traffic: connectionPool: text: \"x\"\n",
		`"text": "x"`,
	},
	"NarrowByType": {
		"package config\n\nservices: [string]: traffic: connectionPool: text: *7 | \"eight\"\n\n#template: {service: traffic: connectionPool: text: string}\n",
		`"text": "eight"`,
	},
	"NarrowForOne": {
		"package config\n\nservices: [string]: traffic: connectionPool: text: *\"y\" | string\n\n#template: {name: _, service: {traffic: {if name == \"cart\" {connectionPool: text: \"x\"}, ...}, ...}}\n",
		`"text": "x"`,
	},
}

func discernible(t *testing.T, text string) *tree {
	r := wider(t)
	// In two files and in no order.
	r.files["services/cart.cue"] = "package config\n\nservices: cart: {\n\tports: http: {protocol: \"HTTP\", port: 80}\n\tegress: stock: {}\n\tplacement: {west: {}, east: {}}\n}\n"
	r.files["platform/cart.cue"] = "package config\n\nservices: cart: {\n\tbackend: {serviceAccounts: [\"cart\"], selector: app: \"cart\", namespace: \"cart\"}\n\towner: \"tests\"\n\tplacement: {east: {}, west: {}}\n}\n"
	r.files["services/fan.cue"] = service("fan", everywhere, `egress: {web: {}, alone: {}}`)
	if r.files["template.cue"] = text; strings.Contains(text, "lib/text") {
		r.files["lib/text/text.cue"] = "package text\n\nimport \"encoding/json\"\n\n#Of: {manifest: {...}, out: json.Marshal(manifest)}\n"
	}
	return r
}

func TestOrderSensitiveTemplateReadsTheSource(t *testing.T) {
	for name, tc := range discerning {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r := discernible(t, tc.text)
				snap := r.commit(nil)
				want := inOnePiece(t, r.files, cluster)
				if !strings.Contains(want["DestinationRule/cart/cart.cart.global"], tc.says) {
					t.Fatalf("plain CUE says something else than %s, so this test shows nothing: %s", tc.says, want["DestinationRule/cart/cart.cart.global"])
				}
				dir := t.TempDir()
				warm := evaluate.New(evaluate.Limits{}, opened(t, dir))
				for _, e := range []*evaluate.Evaluator{warm, warm, evaluate.New(evaluate.Limits{}, opened(t, dir))} {
					result := evaluated(t, e, snap, evaluate.Options{Cluster: cluster})
					if result.Work.Unsharded {
						t.Fatalf("in one piece: %v", result.Unshardable)
					}
					same(t, "rendered", want, sorted(t, result.Rendered))
				}
			})
		})
	}
}

func TestOrderSensitiveTemplateReadsTheSourceWhileAnotherServiceIsBroken(t *testing.T) {
	type situation struct {
		files  map[string]string
		frozen string
	}
	situations := map[string]situation{
		"None":     {nil, ""},
		"New":      {map[string]string{"services/new.cue": service("new", everywhere, `egress: nobody: {}`)}, ""},
		"NewFile":  {map[string]string{"services/new.cue": "package config\n\nservices: new: {\n"}, ""},
		"NewAlone": {map[string]string{"services/new.cue": service("new", everywhere, `egress: 3`)}, ""},
		"Changed":  {map[string]string{"services/fan.cue": service("fan", everywhere, `egress: {web: {}, cart: {}, alone: {}}`), "services/web.cue": brokenWebs["Misspelt"].text}, "web"},
	}
	for _, name := range []string{"Schema", "UnknownCallee", "Unparsable", "NoReference", "Open"} {
		situations[name] = situation{map[string]string{"services/web.cue": brokenWebs[name].text}, "web"}
	}
	for _, name := range []string{"Text", "OfAModule", "Narrow"} {
		for what, now := range situations {
			t.Run(name+what, func(t *testing.T) {
				r, f := discernible(t, discerning[name].text), follow(t, "east")
				same(t, "at first", inOnePiece(t, r.files, "east"), sorted(t, f.applies(r.commit(nil)).Rendered))
				after := f.applies(r.commit(now.files))
				effective := maps.Clone(r.files)
				if effective["services/web.cue"] = goodWeb; now.frozen == "" {
					delete(effective, "services/new.cue")
				}
				want, got := inOnePiece(t, effective, "east"), sorted(t, after.Rendered)
				if now.frozen != "" {
					same(t, "frozen", []string{now.frozen}, slices.Sorted(maps.Keys(after.Frozen)))
					// The frozen one itself is known only as data.
					for _, objects := range []map[string]string{want, got} {
						maps.DeleteFunc(objects, func(_, object string) bool {
							return strings.Contains(object, `"isthmus.dev/service": "`+now.frozen+`"`)
						})
					}
				}
				same(t, "rendered", want, got)
			})
		}
	}
}
