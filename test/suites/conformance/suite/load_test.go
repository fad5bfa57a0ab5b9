package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/promise"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// scene is a mesh repository with the world.json beside it.
type scene struct {
	promise.Deviations

	// Moments are states between two commits; the files of after/ make the second one.
	Moments []moment `json:"moments"`

	name string
	dir  string
	// recorded is where its traces are kept, "" for nowhere.
	recorded string
}

// moment says which commit each cluster's controller holds.
type moment struct {
	Name     string            `json:"name"`
	Clusters map[string]string `json:"clusters"`
}

// scenes are the examples and the worlds.
func scenes(t *testing.T) []scene {
	t.Helper()
	all := []scene{}
	for _, root := range []string{examplesDir, worldsDir} {
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			dir := filepath.Join(root, entry.Name())
			if _, err := os.Stat(filepath.Join(dir, "clusters.cue")); err != nil {
				continue
			}
			s := scene{name: entry.Name(), dir: dir, recorded: filepath.Join(dir, "traces.txt")}
			if root == examplesDir {
				s.recorded = filepath.Join(worldsDir, "examples", entry.Name()+".txt")
			}
			readJSON(t, filepath.Join(dir, "world.json"), &s)
			all = append(all, s)
		}
	}
	return all
}

// readJSON reads a file if it is there.
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

// load evaluates the scene's repository in a folder of its own, with this checkout's module.
func (s scene) load(t *testing.T, overlays ...string) repo.Repo {
	t.Helper()
	dir := t.TempDir()
	if err := isthmus.Copy(dir, filepath.Join(worldsDir, "common"), append([]string{s.dir}, overlays...)...); err != nil {
		t.Fatal(err)
	}
	r, err := repo.Load(isthmus, dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// worldOf is the platform with the bundles.
func worldOf(r repo.Repo, d promise.Deviations) world.World {
	w := promise.Platform(r.Mesh, d)
	w.Bundles = r.Bundles
	return w
}

// start runs the world's control planes.
func start(t *testing.T, w world.World, opts ...trace.Option) *trace.Mesh {
	t.Helper()
	m, err := trace.Start(t, &w, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// traced is a call with what came of it.
type traced struct {
	promise.Call
	result trace.Result
}

// check traces calls and reports every promise that is not kept.
func check(t *testing.T, m *trace.Mesh, calls []promise.Call, whole bool) []traced {
	t.Helper()
	all, problems := judge(m, calls, whole)
	for _, p := range problems {
		t.Error(p)
	}
	return all
}

// judge traces calls and lists every promise that is not kept.
func judge(m *trace.Mesh, calls []promise.Call, whole bool) ([]traced, []string) {
	all, problems := []traced{}, []string{}
	for _, call := range calls {
		r, crash := traceCall(m, call.Call)
		if crash != "" {
			problems = append(problems, fmt.Sprintf("%s: istiod panics: %s", call.Title(), crash))
			continue
		}
		for _, problem := range promise.Judge(call, r, whole) {
			problems = append(problems, call.Title()+": "+problem)
		}
		all = append(all, traced{call, r})
	}
	return all, problems
}

// traceCall traces a call; a panic of Istio's own code is what a control plane would die of, so it is told as such.
func traceCall(m *trace.Mesh, c trace.Call) (r trace.Result, crash string) {
	defer func() {
		if p := recover(); p != nil {
			crash = fmt.Sprint(p)
		}
	}()
	return m.Trace(c), ""
}

// declared are the calls that the manifests declare in a world.
func declared(t *testing.T, m repo.Mesh, w world.World, only ...string) []promise.Call {
	t.Helper()
	calls, err := promise.Calls(m, w, only...)
	if err != nil {
		t.Fatal(err)
	}
	return calls
}
