package evaluate_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue/parser"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// tree is a repository in memory, to commit to.
type tree struct {
	files   map[string]string
	commits int
}

// newTree has the inventory and the settings of examples/quickstart, and three services: web, which runs in both clusters, calls cart,
// which does, too, and stock, which is in west and lets in only who declares it.
func newTree(t *testing.T) *tree {
	t.Helper()
	r := &tree{files: map[string]string{}}
	for p, blob := range quickstart(t, map[string]string{"services/": ""}).Files {
		r.files[p] = string(blob.Data)
	}
	r.files["services/web.cue"] = goodWeb
	r.files["services/cart.cue"] = service("cart", everywhere, `egress: stock: {}`, `authorization: mode: "enforce"`)
	r.files["services/stock.cue"] = service("stock", `placement: west: {}`, `authorization: mode: "enforce"`)
	return r
}

const everywhere = `placement: {east: {}, west: {}}`

var goodWeb = service("web", everywhere, `egress: {cart: {}, stock: {}}`)

// service is a file with one service, whose further fields are given.
func service(name string, fields ...string) string {
	return "package config\n\n" + definition(name, fields...)
}

func definition(name string, fields ...string) string {
	fields = append([]string{
		`owner: "tests"`,
		`ports: http: {port: 80, protocol: "HTTP"}`,
		fmt.Sprintf(`backend: {namespace: %q, selector: app: %q, serviceAccounts: [%q]}`, name, name, name),
	}, fields...)
	return fmt.Sprintf("services: %q: {\n\t%s\n}\n", name, strings.Join(fields, "\n\t"))
}

// commit writes files, "" removing one.
func (r *tree) commit(files map[string]string) *source.Snapshot {
	for name, text := range files {
		r.files[name] = text
		if text == "" {
			delete(r.files, name)
		}
	}
	r.commits++
	return snapshot(fmt.Sprintf("%040d", r.commits), r.files)
}

func (r *tree) revision() string { return fmt.Sprintf("main@sha1:%040d", r.commits) }

func snapshot(commit string, files map[string]string) *source.Snapshot {
	s := &source.Snapshot{Revision: "main@sha1:" + commit, Commit: commit, Files: make(map[string]source.Blob, len(files))}
	for name, text := range files {
		sum := sha1.Sum([]byte(text))
		s.Files[name] = source.Blob{Data: []byte(text), Hash: hex.EncodeToString(sum[:])}
	}
	return s
}

// follower evaluates one commit after the other for a cluster, as its controller does.
type follower struct {
	t         *testing.T
	cluster   string
	evaluator *evaluate.Evaluator
	basis     *evaluate.Basis
}

// follow begins where nothing was applied before.
func follow(t *testing.T, cluster string) *follower {
	return &follower{t: t, cluster: cluster, evaluator: evaluate.New(evaluate.Limits{}, nil), basis: &evaluate.Basis{}}
}

func (f *follower) options() evaluate.Options {
	return evaluate.Options{Cluster: f.cluster, Basis: f.basis}
}

// applies is the result of a commit that may have broken services.
func (f *follower) applies(snap *source.Snapshot) *evaluate.Result {
	f.t.Helper()
	result, err := f.evaluator.Partial(f.t.Context(), snap, f.options())
	if err != nil {
		f.t.Fatalf("%s of %s is not applied at all: %v", snap.Revision, f.cluster, err)
	}
	f.basis = result.Basis
	return result
}

// halts is why nothing of a commit is applied.
func (f *follower) halts(snap *source.Snapshot) manifest.Findings {
	f.t.Helper()
	result, err := f.evaluator.Partial(f.t.Context(), snap, f.options())
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		f.t.Fatalf("%s of %s is applied, want it halted; findings: %v, error: %v", snap.Revision, f.cluster, result.Findings(), err)
	}
	return findings
}

// clean is the rendering of a commit that has to be good.
func clean(t *testing.T, snap *source.Snapshot, cluster string) map[string]string {
	t.Helper()
	result, err := evaluate.Evaluate(context.Background(), snap, evaluate.Options{Cluster: cluster})
	if err != nil {
		t.Fatalf("what this test compares with is broken itself: %v", err)
	}
	return texts(result.Rendered)
}

func texts(rendered map[string]json.RawMessage) map[string]string {
	out := make(map[string]string, len(rendered))
	for key, object := range rendered {
		out[key] = strings.TrimSpace(string(object))
	}
	return out
}

// frozen are the frozen services with their revisions.
func frozen(result *evaluate.Result) map[string]string {
	out := map[string]string{}
	for name, f := range result.Frozen {
		out[name] = f.Revision
	}
	return out
}

// places are the services and files that findings name, each once.
func places(findings manifest.Findings) []string {
	var out []string
	for _, f := range findings {
		out = append(out, strings.TrimSpace(f.Service+" "+f.File))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want, +got:\n%s", what, diff)
	}
}

func inBoth(t *testing.T, test func(t *testing.T, cluster string)) {
	for _, cluster := range []string{"east", "west"} {
		t.Run(cluster, func(t *testing.T) { test(t, cluster) })
	}
}

// brokenWebs are ways to break the service web, with the line that is to blame and what is said of it.
var brokenWebs = map[string]struct {
	reason string
	text   string
	line   int
	says   string
}{
	"Schema":         {"a value of the wrong kind", service("web", everywhere, `egress: {cart: {}, stock: {}}`, `clusterHosts: "yes"`), 9, "mismatched types"},
	"OwnCheck":       {"an enum has no such member", service("web", everywhere, `egress: {cart: {}, stock: {}}`, `spread: "wide"`), 3, "spread is none of"},
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

func TestABrokenCallerIsStillLetInAndServed(t *testing.T) {
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
				if len(after.Lost) > 0 {
					t.Errorf("what was before is known, but lost are %q", after.Lost)
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

// What is let in by the callees is the point of the test above: without the service they would be narrowed.
func TestARemovedCallerIsLetInNoMore(t *testing.T) {
	r, f := newTree(t), follow(t, "west")
	before := texts(f.applies(r.commit(nil)).Rendered)
	f.applies(r.commit(map[string]string{"services/web.cue": brokenWebs["Misspelt"].text}))
	after := f.applies(r.commit(map[string]string{"services/web.cue": ""}))
	const policy = "AuthorizationPolicy/stock/isthmus-stock"
	if !strings.Contains(before[policy], "/ns/web/sa/web") || strings.Contains(texts(after.Rendered)[policy], "/ns/web/sa/web") {
		t.Errorf("before: %s\nafter: %s", before[policy], after.Rendered[policy])
	}
	same(t, "a service that is frozen and then removed", clean(t, r.commit(nil), "west"), texts(after.Rendered))
	if len(after.Frozen)+len(after.Findings())+len(after.Lost) > 0 {
		t.Errorf("nothing is broken any more: %v %v %v", after.Frozen, after.Findings(), after.Lost)
	}
}

func TestABrokenPublisherIsNoNewsToItsCallersAndOthersGoOn(t *testing.T) {
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

func TestAnUnparsableFileFreezesAllThatItDefined(t *testing.T) {
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

func TestAServiceInTwoFilesIsFrozenWhenOneOfThemIsUnparsable(t *testing.T) {
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

func TestATypoThatLastsAHundredCommitsIsInNobodysWay(t *testing.T) {
	commits := 100
	if testing.Short() {
		commits = 20
	}
	r, f := newTree(t), follow(t, "west")
	for i := range 20 {
		name := fmt.Sprintf("s%02d", i)
		r.files["services/"+name+".cue"] = service(name, everywhere, `egress: cart: {}`)
	}
	f.applies(r.commit(nil))
	good := r.revision()
	f.applies(r.commit(map[string]string{"services/web.cue": brokenWebs["UnknownCallee"].text}))
	for i := range commits {
		changed := fmt.Sprintf("s%02d", i%20)
		text := map[int]string{
			0: service(changed, everywhere, `egress: {cart: {}, stock: {}}`),
			1: service(changed, `placement: east: {}`, `egress: stock: {}`),
			2: "",
			3: service(changed, everywhere, `egress: cart: {}`),
		}[i/20%4]
		after := f.applies(r.commit(map[string]string{"services/" + changed + ".cue": text}))
		same(t, "frozen", map[string]string{"web": good}, frozen(after))
		// The commit's own service, the broken one, and the two that they call, some of them once more without the broken one.
		if w := after.Work; w.Parsed > 1 || w.Evaluated > 1 || w.Rendered > 8 || w.Calls > 6 {
			t.Errorf("commit %d of one service cost %+v", i, w)
		}
		if i%20 != 19 {
			continue
		}
		effective := &tree{files: maps.Clone(r.files)}
		effective.files["services/web.cue"] = goodWeb
		same(t, fmt.Sprintf("after %d commits", i+1), clean(t, effective.commit(nil), "west"), texts(after.Rendered))
	}
}

func TestWhatWasBrokenEverSinceIsLeftOut(t *testing.T) {
	for name, tc := range brokenWebs {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, cluster string) {
				r, f := newTree(t), follow(t, cluster)
				r.files["services/web.cue"] = ""
				want := clean(t, r.commit(map[string]string{"services/web.cue": ""}), cluster)
				first := f.applies(r.commit(map[string]string{"services/web.cue": tc.text}))
				same(t, "rendered", want, texts(first.Rendered))
				if len(first.Findings()) == 0 || len(first.Frozen)+len(first.Lost) > 0 {
					t.Errorf("it is told, and neither frozen nor lost: %v %v %v", first.Findings(), first.Frozen, first.Lost)
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

func TestANewServiceThatClaimsWhatAnotherHasIsLeftOut(t *testing.T) {
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

func TestACallerOfARemovedServiceIsToldAndKept(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		before := f.applies(r.commit(nil))
		good := r.revision()
		after := f.applies(r.commit(map[string]string{"services/cart.cue": ""}))
		same(t, "frozen", map[string]string{"web": good}, frozen(after))
		same(t, "findings", manifest.Findings{{
			Service: "web", Path: "services.web.egress.cart", File: "services/web.cue", Line: 8, Column: 11, Message: "service web calls unknown service cart",
		}}, after.Findings())
		if len(after.Lost) > 0 {
			t.Errorf("lost: %q", after.Lost)
		}
		// As if web did not call it any more.
		r.files["services/web.cue"] = service("web", everywhere, `egress: stock: {}`)
		same(t, "rendered", clean(t, r.commit(nil), cluster), texts(after.Rendered))
		r.files["services/web.cue"] = goodWeb
		after = f.applies(r.commit(map[string]string{"services/cart.cue": service("cart", everywhere, `egress: stock: {}`, `authorization: mode: "enforce"`)}))
		same(t, "back", texts(before.Rendered), texts(after.Rendered))
	})
}

func TestWhatIsSharedHaltsTheWholeCommit(t *testing.T) {
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

func TestANewFileThatIsUnparsableFreezesNobodyAndIsTold(t *testing.T) {
	inBoth(t, func(t *testing.T, cluster string) {
		r, f := newTree(t), follow(t, cluster)
		before := f.applies(r.commit(nil))
		for range 2 {
			after := f.applies(r.commit(map[string]string{"services/new.cue": "package config\n\nservices: new: {"}))
			same(t, "rendered", texts(before.Rendered), texts(after.Rendered))
			same(t, "told", []string{"services/new.cue"}, places(after.Findings()))
			if len(after.Frozen)+len(after.Lost) > 0 {
				t.Errorf("frozen: %v, lost: %v", after.Frozen, after.Lost)
			}
		}
	})
}

func TestEveryErrorIsTold(t *testing.T) {
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

// owners are teams that change their services at random, and break them now and then. What they wrote last that was good is what a
// cluster has to be made of.
type owners struct {
	rand *rand.Rand
	tree *tree
	// text is what stands in the repository by service, good what did when it was good last, with the revision; "" for not there.
	text, good map[string]string
	revision   map[string]string
	// hiding are new files that nobody can read, by the service that vanished in the commit in which they came: it may have moved there.
	hiding map[string][]string
}

var randomNames = []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"}

func newOwners(t *testing.T, seed uint64) *owners {
	o := &owners{rand: rand.New(rand.NewPCG(seed, 1)), tree: newTree(t), text: map[string]string{}, good: map[string]string{}, revision: map[string]string{}, hiding: map[string][]string{}}
	// One more cluster that finds east's pods by itself, and an external.
	o.tree.files["more.cue"] = `package config

clusters: {
	east: discovery: "one"
	north: {region: "us-north1", discovery: "one", gateways: [{address: "192.0.2.30"}]}
}
externals: bank: {hosts: ["bank.example.com"], ports: https: {port: 443, protocol: "TLS"}}
`
	return o
}

func (o *owners) chance(percent int) bool { return o.rand.IntN(100) < percent }

// calls are those that the good version of a service makes.
func calls(text string) []string {
	var out []string
	for _, name := range randomNames {
		if strings.Contains(text, name+": {}") {
			out = append(out, name)
		}
	}
	return out
}

func (o *owners) isCalled(name string) bool {
	return slices.ContainsFunc(randomNames, func(n string) bool { return n != name && slices.Contains(calls(o.good[n]), name) })
}

// manifest is a random one that calls only what is there in a good version.
func (o *owners) manifest(name string) []string {
	var placement, egress []string
	for _, c := range []string{"east", "west", "north"} {
		if o.chance(60) {
			placement = append(placement, c+": {}")
		}
	}
	for _, callee := range randomNames {
		// What vanished may only be hidden, and be gone when that ends.
		if callee != name && o.good[callee] != "" && o.chance(30) && o.text[callee] != "" {
			egress = append(egress, callee+": {}")
		}
	}
	if o.chance(20) {
		egress = append(egress, "bank: {}")
	}
	fields := []string{"placement: {" + strings.Join(placement, ", ") + "}", "egress: {" + strings.Join(egress, ", ") + "}"}
	if o.chance(40) {
		fields = append(fields, `versions: {v1: labels: version: "v1", v2: labels: version: "v2"}`, fmt.Sprintf("routes: [{to: [{version: \"v%d\"}]}]", 1+o.rand.IntN(2)))
	}
	if o.chance(50) {
		fields = append(fields, fmt.Sprintf("authorization: mode: %q", []string{"off", "audit", "enforce"}[o.rand.IntN(3)]))
	}
	if o.chance(30) {
		fields = append(fields, fmt.Sprintf("hosts: [\"%s.example.com\"]", name))
	}
	if o.chance(20) {
		fields = append(fields, "clusterHosts: true")
	}
	if o.chance(20) {
		fields = append(fields, "sidecar: true")
	}
	return fields
}

// spoil breaks a manifest in one of many ways.
func (o *owners) spoil(name string, fields []string) string {
	text, kind := service(name, fields...), o.rand.IntN(8)
	// What only the checks across services find is a slip in what was good, so that the same clusters have to do with it.
	if kind >= 2 && kind <= 4 {
		if text = o.good[name]; text == "" {
			return "package config\n\nservices: {"
		}
	}
	switch kind {
	case 0:
		return text[:len(text)-2-o.rand.IntN(20)] // the closing brace is missing at least
	case 1:
		return strings.Replace(text, "egress:", "egres:", 1)
	case 2:
		return strings.Replace(text, "egress: {", "egress: {nobody: {}, ", 1)
	case 3:
		return strings.Replace(text, `owner: "tests"`, "", 1)
	case 4:
		return strings.Replace(text, "placement: {", "placement: {nowhere: {}, ", 1)
	case 5:
		return strings.Replace(text, "port: 80", `port: "http"`, 1)
	case 6:
		return strings.Replace(text, `owner: "tests"`, "owner: tests", 1)
	default:
		return service(name, append(fields, "vip: \"241.0.0.1\" | \"241.0.0.2\"")...)
	}
}

// unreads tells of a text that cannot be parsed.
func unreads(text string) bool {
	_, err := parser.ParseFile("x.cue", text)
	return err != nil
}

// commit changes one to three services.
func (o *owners) commit() *source.Snapshot {
	files := map[string]string{}
	var vanished, unreadable []string
	for range 1 + o.rand.IntN(3) {
		name := randomNames[o.rand.IntN(len(randomNames))]
		file := "services/" + name + ".cue"
		if _, twice := files[file]; twice {
			continue
		}
		before := o.text[name]
		next := fmt.Sprintf("main@sha1:%040d", o.tree.commits+1)
		switch fields := o.manifest(name); {
		case o.chance(35):
			o.text[name] = o.spoil(name, fields)
		case o.chance(20) && !o.isCalled(name):
			if o.text[name] = ""; o.good[name] != "" {
				vanished = append(vanished, name)
			}
		default:
			o.text[name] = service(name, fields...)
			o.good[name], o.revision[name] = o.text[name], next
		}
		if unreads(o.text[name]) && !unreads(before) && o.good[name] == "" {
			unreadable = append(unreadable, name)
		}
		files[file] = o.text[name]
	}
	for _, name := range vanished {
		o.hiding[name] = unreadable
	}
	for name, files := range o.hiding {
		if !slices.ContainsFunc(files, func(n string) bool { return unreads(o.text[n]) }) {
			delete(o.hiding, name)
			if o.text[name] == "" {
				o.good[name] = ""
			}
		}
	}
	snap := o.tree.commit(files)
	for _, name := range randomNames {
		if o.good[name] == o.text[name] && o.good[name] != "" {
			o.revision[name] = snap.Revision
		}
	}
	return snap
}

// effective is the repository as if nobody had committed what is broken.
func (o *owners) effective() *source.Snapshot {
	files := maps.Clone(o.tree.files)
	for _, name := range randomNames {
		file := "services/" + name + ".cue"
		files[file] = o.good[name]
		if o.good[name] == "" {
			delete(files, file)
		}
	}
	return snapshot(strings.Repeat("e", 40), files)
}

// frozen are those that are broken and were good before.
func (o *owners) frozen() map[string]string {
	out := map[string]string{}
	for _, name := range randomNames {
		if o.good[name] != o.text[name] && o.good[name] != "" {
			out[name] = o.revision[name]
		}
	}
	return out
}

// Whatever is broken, a cluster is as if its owners had not committed it; and whatever is remembered, it is the same.
func TestAClusterIsAsIfNobodyHadCommittedWhatIsBroken(t *testing.T) {
	seeds, commits := 4, 40
	if testing.Short() {
		seeds, commits = 2, 12
	}
	reference := evaluate.New(evaluate.Limits{}, nil)
	again, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64) // to see a failure again
	if again != 0 {
		seeds = 1
	}
	for range seeds {
		seed := rand.Uint64()
		if again != 0 {
			seed = again
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := newOwners(t, seed)
			store, err := cache.Open(t.TempDir(), 0)
			if err != nil {
				t.Fatal(err)
			}
			followers := []*follower{follow(t, "east"), follow(t, "west"), follow(t, "north")}
			for i := range commits {
				snap := o.commit()
				f := followers[i%len(followers)]
				want, err := reference.Evaluate(t.Context(), o.effective(), evaluate.Options{Cluster: f.cluster})
				if err != nil {
					t.Fatalf("what this test compares with is broken itself: %v", err)
				}
				basis := f.basis
				for _, f := range followers {
					result := f.applies(snap)
					for name, revision := range frozen(result) {
						if want := o.frozen()[name]; revision != want {
							t.Errorf("commit %d: %s has %s frozen at %q, want %q: %v", i, f.cluster, name, revision, want, result.Frozen[name].Findings)
						}
					}
				}
				// A new process, with what others left on disk and without.
				for reason, evaluator := range map[string]*evaluate.Evaluator{"warm": f.evaluator, "cold": evaluate.New(evaluate.Limits{}, nil), "from disk": evaluate.New(evaluate.Limits{}, store)} {
					result, err := evaluator.Partial(t.Context(), snap, evaluate.Options{Cluster: f.cluster, Basis: basis})
					if err != nil {
						t.Fatalf("commit %d, %s: %v", i, reason, err)
					}
					same(t, fmt.Sprintf("commit %d: rendered for %s, %s", i, f.cluster, reason), texts(want.Rendered), texts(result.Rendered))
				}
				if t.Failed() {
					for _, name := range randomNames {
						t.Logf("%s", o.text[name])
					}
					t.FailNow()
				}
			}
		})
	}
}
