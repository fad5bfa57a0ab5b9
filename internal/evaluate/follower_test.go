package evaluate_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// follower evaluates commits for a cluster, as the controller does.
type follower struct {
	t         *testing.T
	cluster   string
	evaluator *evaluate.Evaluator
	basis     *evaluate.LastKnownGood
}

// follow begins without earlier commits. Its evaluator has evaluated those of earlier tests: most tests begin with
// the same commit, which is then in memory. Tests that call follow must not run in parallel.
func follow(t *testing.T, cluster string) *follower {
	f := followCold(t, cluster)
	if evaluators[cluster] == nil {
		evaluators[cluster] = f.evaluator
	}
	f.evaluator = evaluators[cluster]
	return f
}

// evaluators are those of follow by cluster.
var evaluators = map[string]*evaluate.Evaluator{}

// followCold begins without earlier commits and with an evaluator of its own.
func followCold(t *testing.T, cluster string) *follower {
	return &follower{t: t, cluster: cluster, evaluator: evaluate.New(evaluate.Limits{}, nil), basis: &evaluate.LastKnownGood{}}
}

func (f *follower) options() evaluate.Options {
	return evaluate.Options{Cluster: f.cluster, LastKnownGood: f.basis}
}

// applies is the result of a commit that may have broken services.
func (f *follower) applies(snap *source.Snapshot) *evaluate.Result {
	f.t.Helper()
	result, err := f.evaluator.Partial(f.t.Context(), snap, f.options())
	if err != nil {
		f.t.Fatalf("%s of %s is not applied at all: %v", snap.Revision, f.cluster, err)
	}
	f.basis = result.LastKnownGood
	return result
}

// halts returns the findings of a commit that is rejected.
func (f *follower) halts(snap *source.Snapshot) manifest.Findings {
	f.t.Helper()
	result, err := f.evaluator.Partial(f.t.Context(), snap, f.options())
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		f.t.Fatalf("%s of %s is applied, want it halted; findings: %v, error: %v", snap.Revision, f.cluster, result.Findings(), err)
	}
	return findings
}

// clean is the rendering of a commit without errors.
func clean(t *testing.T, snap *source.Snapshot, cluster string) map[string]string {
	t.Helper()
	return texts(reference(t, snap, cluster).Rendered)
}

// references are results of reference by cluster and content.
var references = map[string]*evaluate.Result{}

// reference evaluates a commit without errors, memory or cache. It evaluates equal content once. The result must not
// be changed.
func reference(t *testing.T, snap *source.Snapshot, cluster string) *evaluate.Result {
	t.Helper()
	content := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(snap.Files)) {
		fmt.Fprintf(content, "%q %q\n", name, snap.Files[name].Data)
	}
	key := fmt.Sprintf("%s %x", cluster, content.Sum(nil))
	if result := references[key]; result != nil {
		return result
	}
	result, err := evaluate.Evaluate(t.Context(), snap, evaluate.Options{Cluster: cluster})
	if err != nil {
		t.Fatalf("what this test compares with is broken itself: %v", err)
	}
	references[key] = result
	return result
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
