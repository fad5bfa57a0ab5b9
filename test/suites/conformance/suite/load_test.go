package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/expected"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// scenarioFolder is a folder with a mesh repository and, if the platform differs from the
// inventory, a scenario.json.
type scenarioFolder struct {
	expected.Deviations

	// Moments are states between two commits. The files of after/ replace those of the first
	// commit.
	Moments []moment `json:"moments"`

	name string
	dir  string
	// recorded is the file of its recorded traces, "" for none.
	recorded string
}

// moment states which commit the controller of each cluster has applied: before or after.
type moment struct {
	Name     string            `json:"name"`
	Clusters map[string]string `json:"clusters"`
}

// scenarioFolders are the examples and the folders of scenarios/.
func scenarioFolders(t *testing.T) []scenarioFolder {
	t.Helper()
	all := []scenarioFolder{}
	for _, parent := range []string{examplesDir(), scenariosDir} {
		entries, err := os.ReadDir(parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			dir := filepath.Join(parent, entry.Name())
			if _, err := os.Stat(filepath.Join(dir, "clusters.cue")); err != nil {
				continue
			}
			s := scenarioFolder{name: entry.Name(), dir: dir, recorded: filepath.Join(dir, "traces.txt")}
			if parent == examplesDir() {
				s.recorded = filepath.Join(scenariosDir, "examples", entry.Name()+".txt")
			}
			readJSON(t, filepath.Join(dir, "scenario.json"), &s)
			all = append(all, s)
		}
	}
	return all
}

// readJSON reads a file if it exists.
func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// load evaluates the repository in a temporary folder with the CUE module of this checkout.
func (s scenarioFolder) load(t *testing.T, overlays ...string) repo.Repo {
	t.Helper()
	dir := t.TempDir()
	if err := isthmus.Copy(dir, filepath.Join(scenariosDir, "common"), append([]string{s.dir}, overlays...)...); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Load(isthmus, dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newScenario combines the platform with the bundles.
func newScenario(r repo.Repo, d expected.Deviations) scenario.Scenario {
	sc := expected.Platform(r.Mesh, d)
	sc.Bundles = r.Bundles
	return sc
}

// start runs the control planes of the scenario.
func start(t *testing.T, sc scenario.Scenario, opts ...trace.Option) *trace.Mesh {
	t.Helper()
	m, err := trace.Start(t, &sc, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tracedCall is a call and its trace.
type tracedCall struct {
	expected.Call
	result trace.Result
}

// checkCalls traces calls and reports every mismatch with the expected result.
func checkCalls(t *testing.T, m *trace.Mesh, calls []expected.Call, healthy bool) []tracedCall {
	t.Helper()
	all, mismatches := compareCalls(m, calls, healthy)
	for _, text := range mismatches {
		t.Error(text)
	}
	return all
}

// compareCalls traces calls and lists every mismatch with the expected result.
func compareCalls(m *trace.Mesh, calls []expected.Call, healthy bool) ([]tracedCall, []string) {
	all, mismatches := []tracedCall{}, []string{}
	for _, call := range calls {
		r, crash := traceCall(m, call.Call)
		if crash != "" {
			mismatches = append(mismatches, fmt.Sprintf("%s: istiod panics: %s", call.Title(), crash))
			continue
		}
		for _, text := range expected.Compare(call, r, healthy) {
			mismatches = append(mismatches, call.Title()+": "+text)
		}
		all = append(all, tracedCall{call, r})
	}
	return all, mismatches
}

// traceCall traces a call. A panic in Istio's code would crash a control plane, so it is reported.
func traceCall(m *trace.Mesh, c trace.Call) (r trace.Result, crash string) {
	defer func() {
		if p := recover(); p != nil {
			crash = fmt.Sprint(p)
		}
	}()
	return m.Trace(c), ""
}

// declaredCalls are the calls that the manifests declare.
func declaredCalls(t *testing.T, m repo.Mesh, sc scenario.Scenario, only ...string) []expected.Call {
	t.Helper()
	calls, err := expected.Calls(m, sc, only...)
	if err != nil {
		t.Fatal(err)
	}
	return calls
}
