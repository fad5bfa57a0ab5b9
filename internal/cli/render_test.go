package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

// sorted is JSON with its keys sorted and its numbers as they were written.
func sorted(t *testing.T, data string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compareWithExport(t *testing.T, dir, cluster string) {
	t.Helper()
	exported := runCommand(t, dir, cuecmd.Path(t), "export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	rendered := run(t, dir, "render", "--cluster", cluster, "-o", "json")
	if exported.status != 0 || rendered.status != 0 {
		t.Fatalf("cue export: %d %s\nisthmus render: %d %s", exported.status, exported.stderr, rendered.status, rendered.stderr)
	}
	want := sorted(t, exported.stdout)
	if diff := cmp.Diff(want, sorted(t, rendered.stdout)); diff != "" {
		t.Errorf("cluster %s (-cue export +isthmus render):\n%s", cluster, diff)
	}
	if strings.TrimSpace(want) == "{}" {
		t.Errorf("cluster %s has no resources: nothing was compared", cluster)
	}
}

func TestRenderIsWhatPlainCUEExports(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Glob("../../examples/*/mesh.cue")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range examples {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			run(t, dir, "vet").expect(t, 0, []string{"ok: "}, nil)
			for _, cluster := range clustersOf(t, dir) {
				compareWithExport(t, dir, cluster)
			}
		})
	}
}

// clustersOf asks plain CUE for the inventory.
func clustersOf(t *testing.T, dir string) []string {
	t.Helper()
	r := runCommand(t, dir, cuecmd.Path(t), "export", "-e", "clusters", ".")
	var clusters map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &clusters); err != nil || len(clusters) == 0 {
		t.Fatalf("the clusters of %s: %v\n%s", dir, err, r.stderr)
	}
	var names []string
	for name := range clusters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// documents are the resources of a rendering in YAML, by key, and their keys in order.
func documents(t *testing.T, text string) (map[string]any, []string) {
	t.Helper()
	byKey := map[string]any{}
	var keys []string
	for _, document := range strings.Split(text, "---\n") {
		var object struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
		}
		var whole any
		for _, into := range []any{&object, &whole} {
			if err := yaml.Unmarshal([]byte(document), into); err != nil {
				t.Fatalf("%v in:\n%s", err, document)
			}
		}
		key := object.Kind + "/" + object.Metadata.Namespace + "/" + object.Metadata.Name
		byKey[key] = whole
		keys = append(keys, key)
	}
	return byKey, keys
}

func TestRenderYAMLHoldsTheSameAsJSON(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	var want map[string]any
	if err := json.Unmarshal([]byte(run(t, dir, "render", "--cluster", "east", "-o", "json").stdout), &want); err != nil {
		t.Fatal(err)
	}
	got, keys := documents(t, run(t, dir, "render", "--cluster", "east").stdout)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-json +yaml:\n%s", diff)
	}
	if !slices.IsSorted(keys) {
		t.Errorf("not sorted: %v", keys)
	}
}

func TestRenderOfOneService(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	_, keys := documents(t, run(t, dir, "render", "--cluster", "east", "--service", "stock").stdout)
	want := []string{"DestinationRule/stock/stock.stock.global", "ServiceEntry/stock/stock.stock.global-remote"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	run(t, dir, "render", "--cluster", "east", "--service", "payments").expect(t, 0, []string{"api.payments.example.com"}, nil)
	run(t, dir, "render", "--cluster", "west", "--service", "web", "-o", "json").
		expect(t, 0, []string{"{}"}, []string{"web has no resources in cluster west"})
}

func TestRenderIntoAFolder(t *testing.T) {
	t.Parallel()
	dir, out := newRepository(t), filepath.Join(t.TempDir(), "out", "east")
	render := func(args ...string) ran {
		t.Helper()
		return run(t, dir, append([]string{"render", "-o", "dir=" + out}, args...)...)
	}
	render("--cluster", "east").expect(t, 0, nil, []string{out + ": 6 written, 0 unchanged, 0 removed"})
	first := tree(t, out)
	want, _ := documents(t, run(t, dir, "render", "--cluster", "east").stdout)
	for key, object := range want {
		var got any
		if err := yaml.Unmarshal([]byte(first[key+".yaml"]), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(object, got); diff != "" {
			t.Errorf("%s.yaml (-printed +file):\n%s", key, diff)
		}
	}
	if len(first) != len(want) {
		t.Errorf("%d files for %d resources", len(first), len(want))
	}
	render("--cluster", "east").expect(t, 0, nil, []string{"0 written, 6 unchanged, 0 removed"})

	// A person's own file beside ours, and one of another cluster's folder below, stay whatever we remove.
	write(t, out, "ServiceEntry/cart/mine.yaml", "kind: ServiceEntry\n")
	write(t, out, "kustomization.yaml", "resources: []\n")
	write(t, out, "west/ServiceEntry/cart/cart.yaml", "# Written by isthmus render, which replaces and removes it. Cluster west.\n")
	replace(t, dir, "services/web.cue", "cart: {}, ", "")
	render("--cluster", "east").expect(t, 0, nil, []string{"0 written, 3 unchanged, 3 removed"})
	left := tree(t, out)
	for _, file := range []string{"ServiceEntry/cart/mine.yaml", "kustomization.yaml", "west/ServiceEntry/cart/cart.yaml"} {
		if _, ok := left[file]; !ok {
			t.Errorf("%s was removed, and is not ours", file)
		}
	}
	if _, ok := left["DestinationRule/cart/cart.cart.global.yaml"]; ok {
		t.Error("DestinationRule/cart/cart.cart.global.yaml is stale and still there")
	}
	if _, err := os.Stat(filepath.Join(out, "DestinationRule", "cart")); !os.IsNotExist(err) {
		t.Errorf("the empty folder DestinationRule/cart is still there: %v", err)
	}
}

func TestRenderOfOneServiceIntoAFolderLeavesTheOthers(t *testing.T) {
	t.Parallel()
	dir, out := newRepository(t), t.TempDir()
	run(t, dir, "render", "--cluster", "east", "-o", "dir="+out).expect(t, 0, nil, []string{"6 written"})
	replace(t, dir, "services/web.cue", ", stock: {}", "")
	replace(t, dir, "services/cart.cue", "egress: stock: {}", "")
	run(t, dir, "render", "--cluster", "east", "--service", "stock", "-o", "dir="+out).expect(t, 0, nil, []string{"0 written, 0 unchanged, 2 removed"})
	if files := tree(t, out); len(files) != 4 {
		t.Errorf("want the 4 files of cart and payments, got %d: %v", len(files), files)
	}
}

func TestRenderIntoAFolderOverwritesNothingForeign(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	t.Run("a person's file", func(t *testing.T) {
		out := t.TempDir()
		write(t, out, "DestinationRule/cart/cart.cart.global.yaml", "mine\n")
		before := tree(t, out)
		run(t, dir, "render", "--cluster", "east", "-o", "dir="+out).
			expect(t, 2, nil, []string{"holds DestinationRule/cart/cart.cart.global.yaml, not written by isthmus render", "nothing was written"})
		if diff := cmp.Diff(before, tree(t, out)); diff != "" {
			t.Errorf("it wrote all the same:\n%s", diff)
		}
	})
	t.Run("another cluster's files", func(t *testing.T) {
		out := t.TempDir()
		run(t, dir, "render", "--cluster", "east", "-o", "dir="+out).expect(t, 0, nil, []string{"6 written"})
		before := tree(t, out)
		run(t, dir, "render", "--cluster", "west", "-o", "dir="+out).
			expect(t, 2, nil, []string{"holds the resources of cluster east", "give each cluster a folder of its own", "nothing was written"})
		if diff := cmp.Diff(before, tree(t, out)); diff != "" {
			t.Errorf("it wrote all the same:\n%s", diff)
		}
	})
	t.Run("through a link out of the folder", func(t *testing.T) {
		out, elsewhere := t.TempDir(), t.TempDir()
		if err := os.Symlink(elsewhere, filepath.Join(out, "ServiceEntry")); err != nil {
			t.Fatal(err)
		}
		run(t, dir, "render", "--cluster", "east", "-o", "dir="+out).expect(t, 2, nil, []string{"ServiceEntry"})
		if files := tree(t, elsewhere); len(files) > 0 {
			t.Errorf("it wrote outside of its folder: %v", files)
		}
	})
}
