package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/gittestserver"

	"github.com/isthmus-mesh/isthmus/test/bench"
)

// repository is a mesh repository on a Git server, and a clone to push from.
type repository struct {
	server *gittestserver.GitServer
	clone  string
	// services are those that run in the measured cluster, so that a change of one concerns it.
	services []string
}

func newRepository(ctx context.Context, shape bench.Repository, dir string) (*repository, string, error) {
	r := &repository{server: gittestserver.NewGitServer(filepath.Join(dir, "git")), clone: filepath.Join(dir, "clone")}
	if err := shape.Write(r.clone); err != nil {
		return nil, "", err
	}
	files, err := filepath.Glob(filepath.Join(r.clone, "services", "*.cue"))
	if err != nil {
		return nil, "", err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		if strings.Contains(string(text), "placement: {"+cluster+": {}") {
			r.services = append(r.services, file)
		}
	}
	bare := filepath.Join(r.server.Root(), "mesh.git")
	for _, args := range [][]string{
		{"init", "-q", "--bare", "-b", "main", bare}, {"init", "-q", "-b", "main", r.clone}, {"-C", r.clone, "remote", "add", "origin", bare},
	} {
		if _, err := git(ctx, args...); err != nil {
			return nil, "", err
		}
	}
	commit, err := r.commit(ctx)
	if err == nil {
		err = r.push(ctx)
	}
	if err != nil {
		return nil, "", err
	}
	return r, commit, r.server.StartHTTP()
}

func (r *repository) url() string { return r.server.HTTPAddress() + "/mesh.git" }

// change gives the n-th service another weight, and commits that.
func (r *repository) change(ctx context.Context, n int) (commit string, err error) {
	file := r.services[n%len(r.services)]
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	changed := strings.NewReplacer("weight: 70}", fmt.Sprintf("weight: %d}", n%69+1), "weight: 30}", fmt.Sprintf("weight: %d}", 99-n%69)).Replace(string(text))
	if changed == string(text) {
		return "", fmt.Errorf("%s holds no weights to change", file)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		return "", err
	}
	return r.commit(ctx)
}

func (r *repository) push(ctx context.Context) error {
	_, err := git(ctx, "-C", r.clone, "push", "-q", "origin", "main")
	return err
}

func (r *repository) commit(ctx context.Context) (commit string, err error) {
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "Change"}} {
		if _, err := git(ctx, append([]string{"-C", r.clone}, args...)...); err != nil {
			return "", err
		}
	}
	return git(ctx, "-C", r.clone, "rev-parse", "HEAD")
}

// git runs the real one.
func git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "protocol.file.allow=always"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
