package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/isthmus-mesh/isthmus/internal/testcluster"
)

const (
	branch   = "main"
	repoName = "mesh.git"
)

// repository is the mesh repository on a Git server, and a clone of it.
type repository struct {
	server *testcluster.GitServer
	clone  *git.Repository
	// dir is the work tree of the clone.
	dir string
	url string
	// commits of the branch, the oldest first.
	commits []string
}

// serve starts a Git server with its data below dir. The files are the first commit.
func serve(ctx context.Context, files fs.FS, dir string) (*repository, error) {
	root := filepath.Join(dir, "git")
	main := git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName(branch)}
	if _, err := git.PlainInitWithOptions(filepath.Join(root, repoName), &git.PlainInitOptions{InitOptions: main, Bare: true}); err != nil {
		return nil, fmt.Errorf("creating the mesh repository: %w", err)
	}
	server, err := testcluster.StartGit(ctx, root, filepath.Join(dir, "git.log"))
	if err != nil {
		return nil, fmt.Errorf("starting the Git server: %w", err)
	}
	r := &repository{server: server, dir: filepath.Join(dir, "mesh"), url: server.URL + "/" + repoName}
	if err := r.fill(ctx, files, main); err != nil {
		return nil, errors.Join(fmt.Errorf("filling the mesh repository: %w", err), server.Stop())
	}
	return r, nil
}

// fill creates the clone and pushes the files.
func (r *repository) fill(ctx context.Context, files fs.FS, main git.InitOptions) error {
	if err := os.CopyFS(r.dir, files); err != nil {
		return err
	}
	clone, err := git.PlainInitWithOptions(r.dir, &git.PlainInitOptions{InitOptions: main})
	if err != nil {
		return err
	}
	settings, err := clone.Config()
	if err != nil {
		return err
	}
	// With --keep a user can commit and push here without settings of their own.
	settings.User.Name, settings.User.Email = "Demo", "demo@shop.example.com"
	settings.Remotes[git.DefaultRemoteName] = &gitconfig.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{r.url}}
	settings.Branches[branch] = &gitconfig.Branch{Name: branch, Remote: git.DefaultRemoteName, Merge: main.DefaultBranch}
	if err := clone.SetConfig(settings); err != nil {
		return err
	}
	r.clone = clone
	return r.push(ctx, "The shop")
}

// head is the latest commit.
func (r *repository) head() string { return r.commits[len(r.commits)-1] }

// edit replaces a text that occurs once in a file. Without an old text it removes the file.
type edit struct{ file, old, new string }

// apply makes the edit in the work tree.
func (r *repository) apply(e edit) error {
	path := filepath.Join(r.dir, filepath.FromSlash(e.file))
	if e.old == "" {
		return os.Remove(path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), e.old); n != 1 {
		return fmt.Errorf("the demo does not match examples/shop: %s contains %q %d times, want once", e.file, e.old, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o644)
}

// line returns the line of a text in a file of the work tree, from 1.
func (r *repository) line(file, text string) (int32, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(file)))
	if err != nil {
		return 0, err
	}
	before, _, found := strings.Cut(string(data), text)
	if !found {
		return 0, fmt.Errorf("%s does not contain %q", file, text)
	}
	return int32(strings.Count(before, "\n")) + 1, nil
}

// push commits all edits and pushes the commit.
func (r *repository) push(ctx context.Context, message string) error {
	tree, err := r.clone.Worktree()
	if err != nil {
		return err
	}
	if err := tree.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return err
	}
	hash, err := tree.Commit(message, &git.CommitOptions{})
	if err != nil {
		return fmt.Errorf("committing %q: %w", message, err)
	}
	if err := r.clone.PushContext(ctx, &git.PushOptions{}); err != nil {
		return errors.Join(fmt.Errorf("pushing %q", message), err)
	}
	r.commits = append(r.commits, hash.String())
	return nil
}

// short abbreviates a commit.
func short(commit string) string { return commit[:min(len(commit), 8)] }
