package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVetNamesTheLineOfAFinding(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		breaks func(t *testing.T, dir string)
		stdout []string
	}{
		{
			"a misspelt field",
			func(t *testing.T, dir string) { replace(t, dir, "services/web.cue", "egress:", "egres:") },
			[]string{"services/web.cue:11:2: services.web.egres: field not allowed\n", "\n1 problem in 1 file; nothing was changed\n"},
		},
		{
			"an unknown callee, in two files",
			func(t *testing.T, dir string) {
				replace(t, dir, "services/web.cue", "stock: {}", "stok: {}")
				replace(t, dir, "services/cart.cue", "stock: {}", "stok: {}")
			},
			[]string{
				"services/cart.cue:7:10: services.cart.egress.stok: service cart calls unknown service stok\n\n",
				"services/web.cue:11:21: services.web.egress.stok: service web calls unknown service stok\n\n",
				"2 problems in 2 files; nothing was changed\n",
			},
		},
		{
			"an unknown cluster",
			func(t *testing.T, dir string) { replace(t, dir, "services/stock.cue", "west", "wst") },
			[]string{"services/stock.cue:7:13: ", "service stock is placed in unknown cluster wst"},
		},
		{
			"a required field",
			func(t *testing.T, dir string) { replace(t, dir, "services/web.cue", "owner: \"storefront\"", "") },
			[]string{"services/web.cue:4:", "owner is missing"},
		},
		{
			"a host claimed twice",
			func(t *testing.T, dir string) {
				write(t, dir, "services/more.cue", "package config\n\nservices: web: hosts: [\"cart.cart.global\"]\n")
			},
			[]string{"services/more.cue:3:", "host cart.cart.global is claimed by services.cart and services.web"},
		},
		{
			"no CUE at all",
			func(t *testing.T, dir string) { replace(t, dir, "services/web.cue", "port: 80", "port: 8x0") },
			[]string{"services/web.cue:7:23: "},
		},
		{
			"a route that only Istio knows to be wrong, in the cluster that would get it",
			func(t *testing.T, dir string) {
				write(t, dir, "services/more.cue", "package config\n\nservices: cart: routes: [{timeout: \"soon\"}]\n")
			},
			[]string{"services/more.cue:3:", ".spec.http[0].timeout: must be a valid duration", "(in cluster east)", "1 problem in 1 file"},
		},
		{
			"a policy that Istio refuses in every cluster, told once",
			func(t *testing.T, dir string) {
				write(t, dir, "services/more.cue", "package config\n\nservices: stock: traffic: outlierDetection: intervall: \"3s\"\n")
			},
			[]string{"services/more.cue:3:", "outlierDetection.intervall: unknown field; the known fields are", "(in every cluster)", "\n1 problem in 1 file;"},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			dir := newRepository(t)
			tc.breaks(t, dir)
			run(t, dir, "vet").expect(t, 1, tc.stdout, nil)
		})
	}
}

func TestVetNamesFilesFromTheWorkingDirectory(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	replace(t, dir, "services/web.cue", "egress:", "egres:")
	run(t, filepath.Dir(dir), "vet", "--repo", "mesh").expect(t, 1, []string{"mesh/services/web.cue:11:2: "}, nil)
}

// A manifest of one user is printed on the terminals of others.
func TestControlCharactersOfAManifestAreNotPrinted(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	write(t, dir, "services/more.cue", "package config\n\nservices: cart: routes: [{fault: \"\\u001b[2J\": true}]\n")
	for _, args := range [][]string{{"vet"}, {"vet", "-o", "github"}, {"vet", "-o", "json"}, {"vet", "-o", "sarif"}, {"render", "--cluster", "east"}} {
		r := run(t, dir, args...)
		out := r.stdout + r.stderr
		if r.status != 1 || !strings.Contains(out, "[2J") || strings.Contains(out, "\x1b") {
			t.Errorf("isthmus %s: status %d\n%q", strings.Join(args, " "), r.status, out)
		}
	}
}

// TestBadInput: what a mesh repository must not be is told with the name of the file, by vet and by render.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		breaks func(t *testing.T, dir string)
		want   []string
	}{
		{
			"symbolic link",
			func(t *testing.T, dir string) {
				if err := os.Symlink("/etc/passwd", filepath.Join(dir, "services", "link.cue")); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"services/link.cue: symbolic link to \"/etc/passwd\""},
		},
		{
			"submodule",
			func(t *testing.T, dir string) { write(t, dir, "sub/.git", "gitdir: ../.git/modules/sub\n") },
			[]string{"sub: submodule"},
		},
		{
			"50 MB file",
			func(t *testing.T, dir string) { write(t, dir, "services/dump.cue", strings.Repeat("\n", 50_000_000)) },
			[]string{"services/dump.cue: file is 47.7 MiB, over the limit of 4 MiB"},
		},
		{
			"file that is not UTF-8",
			func(t *testing.T, dir string) { write(t, dir, "services/latin.cue", "package config\n// \xff\n") },
			[]string{"services/latin.cue:2:4: not UTF-8"},
		},
		{
			"file of another package",
			func(t *testing.T, dir string) { write(t, dir, "services/other.cue", "package other\n") },
			[]string{"services/other.cue:1: is of package other, but the mesh is package config"},
		},
		{
			"file without a package",
			func(t *testing.T, dir string) { write(t, dir, "services/other.cue", "services: {}\n") },
			[]string{"services/other.cue:1: has no package clause"},
		},
		{
			"two packages in the root folder",
			func(t *testing.T, dir string) { write(t, dir, "other.cue", "package other\n") },
			[]string{"holds 2 packages (config, other, in clusters.cue, other.cue)"},
		},
		{
			"newer language version",
			func(t *testing.T, dir string) { replace(t, dir, "cue.mod/module.cue", "v0.17.0", "v0.99.0") },
			[]string{"cue.mod/module.cue: language version \"v0.99.0\"", "too new", "upgrade Isthmus first"},
		},
		{
			"no vendored module",
			func(t *testing.T, dir string) {
				for file := range tree(t, dir) {
					if strings.HasPrefix(file, "cue.mod/pkg/") {
						remove(t, dir, file)
					}
				}
			},
			[]string{"mesh.cue:5:8: ", "isthmus.dev/mesh", "isthmus vendor"},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			dir := newRepository(t)
			tc.breaks(t, dir)
			run(t, dir, "vet").expect(t, 1, append(tc.want, "nothing was changed"), nil)
			run(t, dir, "render", "--cluster", "east").expect(t, 1, nil, append(tc.want, "nothing was rendered"))
		})
	}
}

// A folder that is not a mesh repository may be a whole disk, so its files are not read.
func TestFolderWithoutAMeshRepositoryIsNotRead(t *testing.T) {
	t.Parallel()
	inside := newRepository(t)
	withoutModule := newRepository(t)
	remove(t, withoutModule, "cue.mod/module.cue")
	large := t.TempDir()
	write(t, large, "dump.cue", strings.Repeat("\n", 5_000_000))
	for _, tc := range []struct {
		reason, dir string
		stderr      []string
	}{
		{"no module", withoutModule, []string{". is not a mesh repository: cue.mod/module.cue is missing", "isthmus init"}},
		{"empty folder", t.TempDir(), []string{". is not a mesh repository", "isthmus init"}},
		{"a folder with a file over the limit", large, []string{". is not a mesh repository", "isthmus init"}},
		{"a folder of a mesh repository", filepath.Join(inside, "services"), []string{". is not a mesh repository", "There is a mesh repository further up: try --repo .."}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"vet"}, {"render", "--cluster", "east"}, {"vendor", "--check"}} {
				r := run(t, tc.dir, args...)
				r.expect(t, 2, nil, tc.stderr)
				if strings.Contains(r.stderr, "MiB") {
					t.Errorf("isthmus %s read the folder:\n%s", strings.Join(args, " "), r.stderr)
				}
			}
		})
	}
}

func remove(t *testing.T, dir, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(file))); err != nil {
		t.Fatal(err)
	}
}

func TestWrongUsageExitsTwo(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	for _, tc := range []struct {
		reason string
		args   []string
		stderr []string
	}{
		{"no such command", []string{"vett"}, []string{`isthmus: there is no command "vett"; did you mean vet?`, "`isthmus --help`"}},
		{"no such flag", []string{"vet", "--foo"}, []string{"isthmus vet: unknown flag: --foo", "`isthmus vet --help`"}},
		{"an argument for a folder", []string{"vet", "x"}, []string{`takes no arguments, but got "x"; another folder is given as --repo x`}},
		{"an argument to a command without a folder", []string{"version", "x"}, []string{`takes no arguments, but got "x"`}},
		{"no such form", []string{"vet", "-o", "xml"}, []string{`there is no output form "xml"; there are text, json, github, sarif`}},
		{"no such form of render", []string{"render", "--cluster", "east", "-o", "xml"}, []string{"there are yaml, json, dir=PATH"}},
		{"no such form of version", []string{"version", "-o", "yaml"}, []string{"there are text, json"}},
		{"dir= without a path", []string{"render", "--cluster", "east", "-o", "dir="}, []string{"-o dir= needs the path of a folder"}},
		{"no such folder", []string{"vet", "--repo", "nowhere"}, []string{"cannot read the mesh repository", "nowhere"}},
		{"a file for a folder", []string{"vet", "--repo", "mesh.cue"}, []string{"cannot read the mesh repository", "mesh.cue"}},
		{"no time", []string{"vet", "--timeout", "0s"}, []string{"--timeout must be more than zero"}},
		{"no time that can be read", []string{"vet", "--timeout", "5"}, []string{"invalid argument \"5\"", "--timeout"}},
		{"no memory", []string{"vet", "--evaluation-memory", "1Mi"}, []string{"--evaluation-memory must be at least 128Mi, but is 1Mi"}},
		{"no cluster", []string{"render"}, []string{"--cluster is needed; the inventory has east, west"}},
		{"every cluster and one", []string{"render", "--all", "--cluster", "east", "-o", "json"}, []string{"--all is every cluster, and --cluster east is one"}},
		{"every cluster in a form that does not tell them apart", []string{"render", "--all"}, []string{"--all needs -o dir=PATH or -o json"}},
		{"no such service in any cluster", []string{"render", "--all", "-o", "json", "--service", "carts"}, []string{`there is no service or external "carts"; did you mean cart?`}},
		{"no such cluster", []string{"render", "--cluster", "north"}, []string{`there is no cluster "north"; the inventory has east, west`}},
		{"no such service", []string{"render", "--cluster", "east", "--service", "carts"}, []string{`there is no service or external "carts"; did you mean cart?`}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			run(t, dir, tc.args...).expect(t, 2, nil, tc.stderr)
		})
	}
}

func TestEvaluationStopsAfterTheTimeout(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	write(t, dir, "slow.cue", endless)
	run(t, dir, "vet", "--timeout", "200ms").expect(t, 2, nil, []string{"took more than 200ms", "--timeout"})
}

func TestEvaluationOverALimitIsAFinding(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	write(t, dir, "slow.cue", endless)
	run(t, dir, "vet", "--evaluation-cpu", "1s").expect(t, 1, []string{"used more than 1s of processor time", "--evaluation-cpu"}, nil)
	write(t, dir, "slow.cue", "package config\n\nimport \"list\"\n\n_large: list.Range(0, 100_000_000, 1)\n")
	run(t, dir, "vet", "--evaluation-memory", "256Mi").expect(t, 1, []string{"used more than 256 MiB of memory", "--evaluation-memory"}, nil)
}

// endless is a comprehension that runs for hours.
const endless = `package config

import "list"

_found: [for a in list.Range(0, 100000, 1) for b in list.Range(0, 100000, 1) if a*b == -1 {a}]
_none: len(_found) & 0
`
