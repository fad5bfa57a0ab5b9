package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRenderAllEqualsRenderOfEachCluster(t *testing.T) {
	t.Parallel()
	dir, out := newRepository(t), filepath.Join(t.TempDir(), "out")
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(run(t, dir, "render", "--all", "-o", "json").stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Errorf("want east and west, got %d clusters", len(got))
	}
	run(t, dir, "render", "--all", "-o", "dir="+out).expect(t, 0, nil, []string{out + ": ", " written, 0 unchanged, 0 removed"})
	for _, cluster := range []string{"east", "west"} {
		want := run(t, dir, "render", "--cluster", cluster, "-o", "json").stdout
		if diff := cmp.Diff(sorted(t, want), sorted(t, string(got[cluster]))); diff != "" {
			t.Errorf("cluster %s (-alone +of all):\n%s", cluster, diff)
		}
		alone := t.TempDir()
		run(t, dir, "render", "--cluster", cluster, "-o", "dir="+alone).expect(t, 0, nil, []string{" written"})
		if diff := cmp.Diff(tree(t, alone), tree(t, filepath.Join(out, cluster))); diff != "" {
			t.Errorf("folder of cluster %s (-alone +of all):\n%s", cluster, diff)
		}
	}
}

func TestRenderOfEveryClusterIntoAFolderKeepsItCurrent(t *testing.T) {
	t.Parallel()
	dir, out := newRepository(t), t.TempDir()
	all := func(args ...string) ran {
		t.Helper()
		return run(t, dir, append([]string{"render", "--all", "-o", "dir=" + out}, args...)...)
	}
	all().expect(t, 0, nil, []string{" written, 0 unchanged, 0 removed"})
	all().expect(t, 0, nil, []string{": 0 written, ", " 0 removed"})

	// Of a cluster that left the inventory all files of ours go, and no others.
	own := map[string]string{
		"north/README.md":                   "mine\n",
		"north/ServiceEntry/cart/mine.yaml": "kind: ServiceEntry\n",
		"archive/ServiceEntry/a/b.yaml":     "# Written by isthmus render, which replaces and removes it. Cluster west.\n",
		"kustomization.yaml":                "resources: []\n",
	}
	for file, content := range own {
		write(t, out, file, content)
	}
	for _, cluster := range []string{"north", "south"} {
		write(t, out, cluster+"/ServiceEntry/cart/old.yaml", "# Written by isthmus render, which replaces and removes it. Cluster "+cluster+", service cart.\n")
	}
	all("--service", "stock").expect(t, 0, nil, []string{": 0 written, ", " 0 removed"})
	replace(t, dir, "services/web.cue", "cart: {}, ", "")
	all().expect(t, 0, nil, []string{": 0 written, "})
	left := tree(t, out)
	for file, content := range own {
		if left[file] != content {
			t.Errorf("%s is not ours, and was changed to %q", file, left[file])
		}
	}
	for file := range left {
		if strings.HasSuffix(file, "old.yaml") || strings.HasPrefix(file, "east/DestinationRule/cart/") {
			t.Errorf("%s is stale and still there", file)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "south")); !os.IsNotExist(err) {
		t.Errorf("the empty folder of a cluster that is gone is still there: %v", err)
	}
}

func TestRenderOfEveryClusterWritesAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		breaks func(t *testing.T, dir, out string)
		status int
		stderr []string
	}{
		{
			"the last cluster's folder holds a person's file",
			func(t *testing.T, _, out string) {
				write(t, out, "west/ServiceEntry/stock/stock.stock.global-local.yaml", "mine\n")
			},
			2,
			[]string{"west holds ServiceEntry/stock/stock.stock.global-local.yaml, not written by isthmus render", "nothing was written"},
		},
		{
			"a cluster's folder is a file",
			func(t *testing.T, _, out string) { write(t, out, "west", "mine\n") },
			2,
			[]string{"west", "nothing was written"},
		},
		{
			"a cluster's folder leads elsewhere",
			func(t *testing.T, _, out string) {
				if err := os.Symlink(t.TempDir(), filepath.Join(out, "west")); err != nil {
					t.Fatal(err)
				}
			},
			2,
			[]string{"west", "nothing was written"},
		},
		{
			"one cluster has a finding",
			func(t *testing.T, dir, _ string) {
				write(t, dir, "services/more.cue", "package config\n\nservices: cart: routes: [{timeout: \"soon\"}]\n")
			},
			1,
			[]string{"services/more.cue:3:", "(in cluster east)", "nothing was rendered"},
		},
		{
			"every cluster has a finding",
			func(t *testing.T, dir, _ string) {
				write(t, dir, "services/more.cue", "package config\n\nservices: stock: traffic: outlierDetection: intervall: \"3s\"\n")
			},
			1,
			[]string{"(in every cluster)", "1 problem in 1 file; nothing was rendered"},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			dir, out := newRepository(t), t.TempDir()
			tc.breaks(t, dir, out)
			run(t, dir, "render", "--all", "-o", "dir="+out).expect(t, tc.status, nil, tc.stderr)
			if _, err := os.Stat(filepath.Join(out, "east")); !os.IsNotExist(err) {
				t.Errorf("it wrote cluster east all the same: %v", err)
			}
		})
	}
}

func TestRenderOfOneServiceInEveryCluster(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	r := run(t, dir, "render", "--all", "--service", "web", "-o", "json")
	r.expect(t, 0, []string{`"east": {}`, `"west": {}`}, []string{"web has no resources in any cluster"})
	r = run(t, dir, "render", "--all", "--service", "cart", "-o", "json")
	r.expect(t, 0, []string{"cart.cart.global"}, nil)
	if strings.Contains(r.stdout, "/stock/") {
		t.Errorf("it holds more than the service:\n%s", r.stdout)
	}
}
