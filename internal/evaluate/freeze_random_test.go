package evaluate_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue/parser"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/test/support/long"
)

// owners are teams that change their services at random, and break them now and then. The cluster
// must get the last good version of each service.
type owners struct {
	rand *rand.Rand
	tree *tree
	// text is the file of each service, good its last good content, with the revision; "" for a
	// removed service.
	text, good map[string]string
	revision   map[string]string
	// hiding are new unparsable files, by the service that was removed in the same commit and may be in
	// the file.
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
	// Errors that only checks across services find are changes of the good version, so that the same
	// clusters are concerned.
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

// unreads reports whether a text cannot be parsed.
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

// effective is the repository without the broken changes.
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

// The result must not depend on what is cached.
func TestClusterIsAsIfBrokenChangesWereNotCommitted(t *testing.T) {
	seeds, commits := long.Or(2, 4), long.Or(20, 40)
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
			followers := []*follower{followCold(t, "east"), followCold(t, "west"), followCold(t, "north")}
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
					result, err := evaluator.Partial(t.Context(), snap, evaluate.Options{Cluster: f.cluster, LastKnownGood: basis})
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
