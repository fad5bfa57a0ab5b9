// Package examples_test compares the bundle of every cluster of every example with plain CUE and
// with a golden file.
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

// exampleCluster is one cluster of one example.
type exampleCluster struct {
	example, cluster string
	result           *evaluate.Result
	view             *mesh.View
	bundle           *render.Bundle
}

func (c exampleCluster) name() string { return c.example + "/" + c.cluster }

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

func exampleClusters(t *testing.T) []exampleCluster {
	t.Helper()
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var all []exampleCluster
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
			c := exampleCluster{example: example, cluster: cluster}
			if c.result, err = evaluate.Evaluate(ctx, snap, evaluate.Options{Cluster: cluster}); err != nil {
				t.Fatalf("%s: %v", c.name(), err)
			}
			if c.view, err = mesh.NewView(c.result.Mesh, cluster); err != nil {
				t.Fatalf("%s: %v", c.name(), err)
			}
			if c.bundle, err = render.Render(c.view, c.result, validator, ""); err != nil {
				t.Fatalf("%s: %v", c.name(), err)
			}
			all = append(all, c)
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

func TestBundlesEqualCUEExport(t *testing.T) {
	cue := cuecmd.Path(t)
	for _, c := range exampleClusters(t) {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			out, err := run(filepath.Join(folder, c.example), cue, "export", "-t", "cluster="+c.cluster, "-e", "resources", "./services")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			rendered := map[string]any{}
			for _, r := range c.bundle.Resources {
				rendered[r.Key.String()] = r.Rendered()
			}
			if len(rendered) == 0 {
				t.Error("the bundle is empty")
			}
			if want, got := sorted(t, out), sorted(t, encode(t, rendered)); want != got {
				t.Errorf("cue export (-) and the bundle (+) differ:\n%s", cmp.Diff(want, got))
			}
		})
	}
}

func TestBundlesEqualGoldenFiles(t *testing.T) {
	for _, c := range exampleClusters(t) {
		var got bytes.Buffer
		for _, r := range c.bundle.Resources {
			doc, err := yaml.Marshal(r.Object().Object)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString("---\n")
			got.Write(doc)
		}
		file := filepath.Join("testdata", c.example, c.cluster+".yaml")
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
			t.Fatalf("%v; create it with `go test ./test/suites/examples -update`", err)
		}
		if d := cmp.Diff(string(want), got.String()); d != "" {
			t.Errorf("%s: golden (-) and bundle (+) differ; if the change is intended, run `go test ./test/suites/examples -update`:\n%s", c.name(), d)
		}
	}
}

// Package mesh and cluster_view.cue compute which calls have endpoints.
func TestMeshViewEqualsTheViewInCUE(t *testing.T) {
	for _, c := range exampleClusters(t) {
		called := map[string]bool{}
		for _, r := range c.bundle.Resources {
			if r.Service != "" && r.Side == render.SideCall && r.Key.Kind == "ServiceEntry" && r.Object().GetLabels()[render.LabelNoEndpoint] == "" {
				called[r.Service] = true
			}
		}
		reachable := map[string]bool{}
		for _, call := range c.view.Calls {
			_, external := c.result.Mesh.Externals[call.Callee]
			if external || len(mesh.Publishers(c.result.Mesh, c.cluster, call.Callee)) > 0 {
				reachable[call.Callee] = true
			}
		}
		if d := cmp.Diff(called, reachable); d != "" {
			t.Errorf("%s: services with calling resources (-) and view.Calls (+):\n%s", c.name(), d)
		}
		for _, call := range c.bundle.Calls {
			if reachable[call.Callee] != (len(call.Entries) > 0) {
				t.Errorf("%s: the call from %s to %s has the entries %v, reachable: %t", c.name(), call.Caller, call.Callee, call.Entries, reachable[call.Callee])
			}
		}
	}
}

func TestExamplesVendorTheCurrentModule(t *testing.T) {
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
			t.Errorf("%s: the module (-) and its vendored copy (+) differ; run `make generate`:\n%s", example, d)
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

// sorted is indented JSON with sorted keys.
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
