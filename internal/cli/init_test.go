package cli_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

func TestNewRepositoryPassesVet(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	runCommand(t, dir, cuecmd.Path(t), "vet", "./...").expect(t, 0, nil, nil)
	run(t, dir, "vet").expect(t, 0, []string{"ok: 3 services, 2 clusters, "}, nil)
	run(t, dir, "vendor", "--check").expect(t, 0, []string{"ok: "}, nil)
	for _, cluster := range []string{"east", "west"} {
		compareWithExport(t, dir, cluster)
	}
	for _, file := range []string{"README.md", "clusters.cue"} {
		holds(t, file, tree(t, dir)[file], []string{`dns: "capture"`})
	}
	for _, file := range []string{".github/workflows/mesh.yaml", ".gitlab-ci.yml"} {
		holds(t, file, tree(t, dir)[file], []string{"cmd/isthmus@" + builtVersion, "cmd/cue@v0."})
	}
}

func TestInitTellsWhatToDoNext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run(t, dir, "init", "here").expect(t, 0, []string{"two clusters and three services", "  services/web.cue\n", "cd here\n  git init ", "isthmus vet", "isthmus render --cluster east"}, nil)
}

func TestInitByADevelopmentBuildInstallsTheLatestRelease(t *testing.T) {
	t.Parallel()
	development := filepath.Join(t.TempDir(), "isthmus")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", development, "github.com/isthmus-mesh/isthmus/cmd/isthmus")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := t.TempDir()
	runCommand(t, dir, development, "init").expect(t, 0, []string{"this is a development build, version (devel), so CI installs the latest release"}, nil)
	holds(t, "workflow", tree(t, dir)[".github/workflows/mesh.yaml"], []string{"cmd/isthmus@latest"})
}

func TestInitInAFolderOfAGitRepository(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, ".git/HEAD", "ref: refs/heads/main\n")
	r := run(t, dir, "init", "mesh")
	r.expect(t, 0, []string{"this is the folder mesh of a Git repository", "run in mesh", "spec.path"}, nil)
	if strings.Contains(r.stdout, "git init") {
		t.Errorf("it proposes a Git repository within another one:\n%s", r.stdout)
	}
}

func TestInitNamesTheModule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run(t, dir, "init", "--module", "git.example.com/platform/mesh").expect(t, 0, []string{"this folder"}, nil)
	holds(t, "module.cue", tree(t, dir)["cue.mod/module.cue"], []string{`module: "git.example.com/platform/mesh"`})
	run(t, dir, "vet").expect(t, 0, []string{"ok: "}, nil)
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		args   []string
		stderr []string
	}{
		{"a name that CUE does not take", []string{"--module", "Not A Module"}, []string{`"Not A Module" cannot name a CUE module`, "cue.mod/module.cue: invalid module file cue.mod/module.cue: "}},
		{"no name", []string{"--module", ""}, []string{`"" cannot name a CUE module`}},
		{"a name that breaks out of its string", []string{"--module", `a.b/c" x: "`}, []string{"cannot name a CUE module"}},
		{"two folders", []string{"a", "b"}, []string{"takes one folder, but got 2: a b", "--help"}},
		{"the folder twice", []string{"a", "--repo", "b"}, []string{"the folder is given twice"}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			run(t, dir, append([]string{"init"}, tc.args...)...).expect(t, 2, nil, tc.stderr)
			if files := tree(t, dir); len(files) > 0 {
				t.Errorf("it wrote all the same: %v", files)
			}
		})
	}
}

func TestInitOverwritesNothingUnlessForced(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	// Again over the same content is no conflict.
	run(t, dir, "init").expect(t, 0, []string{"mesh repository"}, nil)

	write(t, dir, "clusters.cue", "package config\n\nclusters: mine: region: \"here\"\n")
	write(t, dir, "services/own.cue", "package config\n")
	before := tree(t, dir)
	run(t, dir, "init").expect(t, 2, nil, []string{". holds clusters.cue already; nothing was written", "--force"})
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("it wrote all the same (-before +after):\n%s", diff)
	}
	run(t, dir, "init", "--force").expect(t, 0, []string{"mesh repository"}, nil)
	after := tree(t, dir)
	if !strings.Contains(after["clusters.cue"], "us-east1") {
		t.Errorf("--force did not overwrite clusters.cue:\n%s", after["clusters.cue"])
	}
	if after["services/own.cue"] != before["services/own.cue"] {
		t.Error("--force changed a file that is not of the skeleton")
	}
}

func TestVendor(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	fresh := tree(t, dir)
	module := filepath.Join("cue.mod", "pkg", "isthmus.dev", "mesh")
	write(t, dir, filepath.Join(module, "cluster_view.cue"), "package mesh\n")
	write(t, dir, filepath.Join(module, "of-an-earlier-version.cue"), "package mesh\n")
	old := tree(t, dir)

	run(t, dir, "vendor", "--check").expect(t, 1, []string{
		"would remove cue.mod/pkg/isthmus.dev/mesh/of-an-earlier-version.cue\n",
		"would update cue.mod/pkg/isthmus.dev/mesh/cluster_view.cue\n",
		"2 files differ from isthmus.dev/mesh of isthmus " + builtVersion + "; nothing was changed",
	}, nil)
	if diff := cmp.Diff(old, tree(t, dir)); diff != "" {
		t.Errorf("--check changed files:\n%s", diff)
	}
	run(t, ".", "vendor", "--repo", dir).expect(t, 0, []string{"removed cue.mod/", "updated cue.mod/", "2 files are now isthmus.dev/mesh of isthmus " + builtVersion}, nil)
	if diff := cmp.Diff(fresh, tree(t, dir)); diff != "" {
		t.Errorf("after vendor (-fresh +got):\n%s", diff)
	}
	run(t, dir, "vendor").expect(t, 0, []string{"ok: "}, nil)
	run(t, t.TempDir(), "vendor").expect(t, 2, nil, []string{"cue.mod/module.cue is missing", "isthmus init"})
	run(t, filepath.Join(dir, "services"), "vendor").expect(t, 2, nil, []string{"further up: try --repo .."})
}
