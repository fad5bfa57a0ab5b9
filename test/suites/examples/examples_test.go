// Package examples_test holds every example, for every cluster, against plain CUE and against its golden bundle.
package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

var update = flag.Bool("update", false, "rewrite the golden bundles; review the diff")

const folder = "../../../examples"

// world is one cluster of one example.
type world struct {
	example, cluster string
	result           *evaluate.Result
	view             *mesh.View
	bundle           *render.Bundle
}

func (w world) name() string { return w.example + "/" + w.cluster }

func examples(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) < 4 {
		t.Fatalf("found the examples %v, want at least four", names)
	}
	return names
}

func worlds(t *testing.T) []world {
	t.Helper()
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var all []world
	for _, example := range examples(t) {
		snap, err := source.FromDir(ctx, filepath.Join(folder, example), source.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		repo, err := evaluate.Evaluate(ctx, snap, evaluate.Options{})
		if err != nil {
			t.Fatalf("%s: %v", example, err)
		}
		for _, cluster := range slices.Sorted(maps.Keys(repo.Mesh.Clusters)) {
			w := world{example: example, cluster: cluster}
			if w.result, err = evaluate.Evaluate(ctx, snap, evaluate.Options{Cluster: cluster}); err != nil {
				t.Fatalf("%s: %v", w.name(), err)
			}
			if w.view, err = mesh.NewView(w.result.Mesh, cluster); err != nil {
				t.Fatalf("%s: %v", w.name(), err)
			}
			if w.bundle, err = render.Render(w.view, w.result, validator, ""); err != nil {
				t.Fatalf("%s: %v", w.name(), err)
			}
			all = append(all, w)
		}
	}
	return all
}

func TestPlainCUEAcceptsEveryExample(t *testing.T) {
	cue := cuecmd.Path(t)
	for _, example := range examples(t) {
		if out, err := run(filepath.Join(folder, example), cue, "vet", "./..."); err != nil {
			t.Errorf("%s: cue vet ./...: %v\n%s", example, err, out)
		}
	}
}

func TestARenderedBundleIsWhatCUEExports(t *testing.T) {
	cue := cuecmd.Path(t)
	for _, w := range worlds(t) {
		t.Run(w.name(), func(t *testing.T) {
			t.Parallel()
			out, err := run(filepath.Join(folder, w.example), cue, "export", "-t", "cluster="+w.cluster, "-e", "resources", "./services")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			rendered := map[string]any{}
			for _, r := range w.bundle.Resources {
				rendered[r.Key.String()] = r.Rendered()
			}
			if len(rendered) == 0 {
				t.Error("nothing is rendered")
			}
			if want, got := sorted(t, out), sorted(t, encode(t, rendered)); want != got {
				t.Errorf("cue export (-) and the bundle (+) differ:\n%s", cmp.Diff(want, got))
			}
		})
	}
}

func TestBundlesAreGolden(t *testing.T) {
	for _, w := range worlds(t) {
		var got bytes.Buffer
		for _, r := range w.bundle.Resources {
			doc, err := yaml.Marshal(r.Object().Object)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString("---\n")
			got.Write(doc)
		}
		file := filepath.Join("testdata", w.example, w.cluster+".yaml")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; `go test ./test/suites/examples -update` writes it", err)
		}
		if d := cmp.Diff(string(want), got.String()); d != "" {
			t.Errorf("%s: golden (-) and bundle (+) differ; if that is meant, `go test ./test/suites/examples -update`:\n%s", w.name(), d)
		}
	}
}

// Calls have endpoints where package mesh and cluster_view.cue say so.
func TestTheViewInGoIsTheViewInCUE(t *testing.T) {
	for _, w := range worlds(t) {
		called := map[string]bool{}
		for _, r := range w.bundle.Resources {
			if r.Service != "" && r.Side == render.SideCall && r.Key.Kind == "ServiceEntry" && r.Object().GetLabels()[render.LabelNoEndpoint] == "" {
				called[r.Service] = true
			}
		}
		reachable := map[string]bool{}
		for _, c := range w.view.Calls {
			_, external := w.result.Mesh.Externals[c.Callee]
			if external || len(mesh.Publishers(w.result.Mesh, w.cluster, c.Callee)) > 0 {
				reachable[c.Callee] = true
			}
		}
		if d := cmp.Diff(called, reachable); d != "" {
			t.Errorf("%s: services with calling resources (-) and view.Calls (+):\n%s", w.name(), d)
		}
		for _, c := range w.bundle.Calls {
			if reachable[c.Callee] != (len(c.Entries) > 0) {
				t.Errorf("%s: the call of %s by %s has the entries %v, reachable: %t", w.name(), c.Callee, c.Caller, c.Entries, reachable[c.Callee])
			}
		}
	}
}

func TestEveryExampleHasTheModuleOfThisVersion(t *testing.T) {
	for _, example := range examples(t) {
		dir := filepath.Join(folder, example, "cue.mod", "pkg", filepath.FromSlash(meshmodule.Path))
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		vendored := map[string]string{}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			vendored[e.Name()] = string(data)
		}
		module := map[string]string{}
		files, err := meshmodule.Files.ReadDir(".")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := meshmodule.Files.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			module[f.Name()] = string(data)
		}
		if d := cmp.Diff(module, vendored); d != "" {
			t.Errorf("%s: the module (-) and its vendored copy (+) differ; `make generate` brings it up to date:\n%s", example, d)
		}
	}
}

func run(dir, command string, args ...string) ([]byte, error) {
	cmd := exec.Command(command, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return []byte(stderr.String()), err
	}
	return out, nil
}

// sorted is JSON with sorted keys, indented.
func sorted(t *testing.T, data []byte) string {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return string(encode(t, v))
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return out
}
