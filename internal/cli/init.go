package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/skeleton"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/vendoring"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// toolchain is the Go release that a new repository's CI builds the commands with.
const toolchain = "1.26"

func newInit() *cobra.Command {
	var repo repository
	var module string
	var force bool
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Create a new mesh repository",
		Long: `Create a new mesh repository in DIR (default: this folder): a CUE module with a sample inventory of two
clusters and a few sample services, the vendored module isthmus.dev/mesh, a README for service owners, and CI
for GitHub and GitLab. The result passes ` + "`cue vet ./...` and `isthmus vet`" + `.`,
		Example: `  isthmus init mesh
  isthmus init --module git.example.com/platform/mesh mesh
  isthmus init --force .                   # overwrite the files that init creates, and no others`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("takes one folder, but got %d: %s", len(args), strings.Join(args, " "))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("repo") {
					return usagef("the folder is given twice, as %s and as --repo %s", args[0], repo.dir)
				}
				repo.dir = args[0]
			}
			files, err := newRepository(cmd.Context(), module)
			if err != nil {
				return err
			}
			if err := create(repo.dir, files, force); err != nil {
				return err
			}
			return nextSteps(cmd, repo.dir, files)
		},
	}
	addRepoFlag(cmd, &repo)
	cmd.Flags().StringVar(&module, "module", "example.com/mesh", "name of the repository's CUE module, usually where it is hosted")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite existing files")
	return cmd
}

// newRepository returns the files of a new repository. It evaluates them, to find a module name that
// CUE rejects.
func newRepository(ctx context.Context, module string) (map[string][]byte, error) {
	if module == "" || strings.ContainsAny(module, "\"\\\n") {
		return nil, usagef("%q cannot name a CUE module; use the path of the repository, such as git.example.com/platform/mesh", module)
	}
	built := version.Get()
	files, err := skeleton.Files(skeleton.Values{Module: module, Isthmus: built.Installable(), CUE: built.CUE, Go: toolchain})
	if err != nil {
		return nil, err
	}
	snapshot := &source.Snapshot{Files: map[string]source.Blob{}}
	for file, data := range files {
		snapshot.Files[file] = source.Blob{Data: data}
	}
	if _, err := evaluate.Evaluate(ctx, snapshot, evaluate.Options{}); err != nil {
		if _, ok := asFindings(err); ok {
			return nil, usagef("%q cannot name a CUE module; use the path of the repository, such as git.example.com/platform/mesh:\n%v", module, err)
		}
		return nil, err
	}
	return files, nil
}

// create writes the files below dir. If an existing file differs, it writes nothing, unless forced.
func create(dir string, files map[string][]byte, force bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var differ []string
	for _, file := range slices.Sorted(maps.Keys(files)) {
		data, err := root.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(data, files[file]) {
			continue
		}
		differ = append(differ, file)
	}
	if len(differ) > 0 && !force {
		return fmt.Errorf("%s holds %s already; nothing was written. Name another folder, or overwrite with --force", dir, strings.Join(differ, ", "))
	}
	for file, data := range files {
		if err := root.MkdirAll(path.Dir(file), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func nextSteps(cmd *cobra.Command, dir string, files map[string][]byte) error {
	shown := dir
	if shown == "." {
		shown = "this folder"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "A mesh repository of two clusters and three services is in %s:\n\n", shown)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasPrefix(file, vendoring.Folder) {
			fmt.Fprintf(&b, "  %s\n", file)
		}
	}
	fmt.Fprintf(&b, "  %s/   (from `isthmus vendor`)\n\nNext:\n", vendoring.Folder)
	if dir != "." {
		fmt.Fprintf(&b, "  cd %s\n", dir)
	}
	if inGit, err := filepath.Abs(dir); err == nil && gitTop(inGit) == "" {
		b.WriteString("  git init -b main                 # controllers read the repository from Git\n")
	}
	b.WriteString(`  isthmus vet                      # or: cue vet ./...
  isthmus render --cluster east    # what the controller of cluster east would apply
Then describe your clusters in clusters.cue and your services in services/, commit, and create a MeshSync for
the repository in every cluster.
`)
	if built := version.Get(); built.Installable() == "latest" {
		fmt.Fprintf(&b, "\nNote: this is a development build, version %s, so CI installs the latest release; set a version in the workflows.\n", built.Version)
	}
	if below := belowGit(dir); below != "." {
		fmt.Fprintf(&b, `
Note: this is the folder %[1]s of a Git repository. GitHub and GitLab read workflows only from the top folder: move
.github and .gitlab-ci.yml there, and let their steps run in %[1]s. Set spec.path of the MeshSync to this folder.
`, below)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
	return err
}

// belowGit returns the path of dir in its Git repository, "." at the top or outside of a repository.
func belowGit(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "."
	}
	top := gitTop(dir)
	if top == "" {
		return "."
	}
	below, err := filepath.Rel(top, dir)
	if err != nil {
		return "."
	}
	return filepath.ToSlash(below)
}
