package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/gittestserver"
	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
)

const (
	branch   = "main"
	repoName = "mesh.git"
)

// repository is the mesh repository on a Git server, and an engineer's clone of it.
type repository struct {
	server *gittestserver.GitServer
	clone  *git.Repository
	// dir is the work tree of the clone.
	dir string
	url string
	// commits is the branch, the oldest first.
	commits []string
}

// serve starts a Git server that keeps its data below dir, with the files as the first commit.
func serve(ctx context.Context, files fs.FS, dir string) (*repository, error) {
	root := filepath.Join(dir, "git")
	main := git.InitOptions{DefaultBranch: plumbing.NewBranchReferenceName(branch)}
	if _, err := git.PlainInitWithOptions(filepath.Join(root, repoName), &git.PlainInitOptions{InitOptions: main, Bare: true}); err != nil {
		return nil, fmt.Errorf("making the mesh repository: %w", err)
	}
	server := gittestserver.NewGitServer(root)
	if err := server.StartHTTP(); err != nil {
		return nil, fmt.Errorf("starting the Git server: %w", err)
	}
	r := &repository{server: server, dir: filepath.Join(dir, "mesh"), url: server.HTTPAddress() + "/" + repoName}
	if err := r.fill(ctx, files, main); err != nil {
		server.StopHTTP()
		return nil, fmt.Errorf("filling the mesh repository: %w", err)
	}
	return r, nil
}

// fill makes the clone with the files and pushes them.
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
	// So that a person can commit and push there, whatever their own settings are.
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

// edit replaces a text that stands in a file once. An empty old text means that the whole file goes.
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
		return fmt.Errorf("examples/shop has changed under the demo: %s holds %q %d times, not once", e.file, e.old, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o644)
}

// line is where a text stands in a file of the work tree, from 1.
func (r *repository) line(file, text string) (int32, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(file)))
	if err != nil {
		return 0, err
	}
	before, _, found := strings.Cut(string(data), text)
	if !found {
		return 0, fmt.Errorf("%s does not hold %q", file, text)
	}
	return int32(strings.Count(before, "\n")) + 1, nil
}

// push commits what was edited and pushes it.
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

// short is a commit as people write it.
func short(commit string) string { return commit[:min(len(commit), 8)] }
