package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/pkg/gittestserver"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
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

// serve puts the files on a Git server that keeps its data below dir, and clones them.
func serve(ctx context.Context, files fs.FS, dir string) (*repository, error) {
	fixture := filepath.Join(dir, "first-commit")
	if err := os.CopyFS(fixture, files); err != nil {
		return nil, err
	}
	server := gittestserver.NewGitServer(filepath.Join(dir, "git")).AutoCreate()
	if err := server.InitRepo(fixture, branch, repoName); err != nil {
		return nil, fmt.Errorf("making the mesh repository: %w", err)
	}
	if err := os.RemoveAll(fixture); err != nil {
		return nil, err
	}
	if err := server.StartHTTP(); err != nil {
		return nil, fmt.Errorf("starting the Git server: %w", err)
	}
	r := &repository{server: server, dir: filepath.Join(dir, "mesh"), url: server.HTTPAddress() + "/" + repoName}
	if err := r.open(ctx); err != nil {
		server.StopHTTP()
		return nil, err
	}
	return r, nil
}

func (r *repository) open(ctx context.Context) error {
	clone, err := git.PlainCloneContext(ctx, r.dir, false, &git.CloneOptions{URL: r.url, ReferenceName: plumbing.NewBranchReferenceName(branch)})
	if err != nil {
		return fmt.Errorf("cloning %s: %w", r.url, err)
	}
	head, err := clone.Head()
	if err != nil {
		return err
	}
	r.clone, r.commits = clone, []string{head.Hash().String()}
	return nil
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
	hash, err := tree.Commit(message, &git.CommitOptions{
		Author: &object.Signature{Name: "Demo", Email: "demo@shop.example.com", When: time.Now()},
	})
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
