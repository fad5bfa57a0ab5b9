package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/gittestserver"

	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// repository is a mesh repository on a Git server, and a clone to push from.
type repository struct {
	server *gittestserver.GitServer
	clone  string
	// services are the files of services in the measured cluster. A change affects its bundle.
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
		{"init", "-q", "--bare", "-b", "main", bare}, {"init", "-q", "-b", "main"}, {"remote", "add", "origin", bare},
	} {
		if _, err := gitops.Git(ctx, r.clone, args...); err != nil {
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

// change commits another weight for the n-th service.
func (r *repository) change(ctx context.Context, n int) (commit string, err error) {
	file := r.services[n%len(r.services)]
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	changed := strings.NewReplacer("weight: 70}", fmt.Sprintf("weight: %d}", n%69+1), "weight: 30}", fmt.Sprintf("weight: %d}", 99-n%69)).Replace(string(text))
	if changed == string(text) {
		return "", fmt.Errorf("%s contains no weights to change", file)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		return "", err
	}
	return r.commit(ctx)
}

func (r *repository) push(ctx context.Context) error {
	_, err := gitops.Git(ctx, r.clone, "push", "-q", "origin", "main")
	return err
}

func (r *repository) commit(ctx context.Context) (commit string, err error) {
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "Change"}} {
		if _, err := gitops.Git(ctx, r.clone, args...); err != nil {
			return "", err
		}
	}
	return gitops.Git(ctx, r.clone, "rev-parse", "HEAD")
}
