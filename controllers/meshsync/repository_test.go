package meshsync_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/gittestserver"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// repository is a mesh repository on a real Git server, at first with the content of examples/quickstart.
type repository struct {
	t      *testing.T
	server *gittestserver.GitServer
	clone  *git.Repository
	first  string
	// asked counts the times that somebody looked for new commits; down makes the server fail, hung keeps it from answering.
	asked      atomic.Int64
	down, hung atomic.Bool
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{t: t}
	server, err := gittestserver.NewTempGitServer()
	must(t, err)
	r.server = server
	server.AutoCreate()
	server.AddHTTPMiddlewares(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.URL.Query().Get("service") == "git-upload-pack" {
				r.asked.Add(1)
			}
			for r.hung.Load() {
				select {
				case <-request.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
			if r.down.Load() {
				http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, request)
		})
	})
	must(t, server.InitRepo("../../examples/quickstart", "main", "mesh.git"))
	must(t, server.StartHTTP())
	t.Cleanup(server.StopHTTP)
	r.clone, err = git.Clone(memory.NewStorage(), memfs.New(), &git.CloneOptions{URL: r.url(), ReferenceName: plumbing.NewBranchReferenceName("main")})
	must(t, err)
	head, err := r.clone.Head()
	must(t, err)
	r.first = head.Hash().String()
	return r
}

func (r *repository) url() string { return r.server.HTTPAddress() + "/mesh.git" }

// commit writes files, "" removing one, and pushes; it returns the commit.
func (r *repository) commit(files map[string]string, options ...func(*git.CommitOptions)) string {
	r.t.Helper()
	tree, err := r.clone.Worktree()
	must(r.t, err)
	for name, text := range files {
		if text == "" {
			_, err := tree.Remove(name)
			must(r.t, err)
			continue
		}
		file, err := tree.Filesystem.Create(name)
		must(r.t, err)
		_, err = file.Write([]byte(text))
		must(r.t, err)
		must(r.t, file.Close())
		_, err = tree.Add(name)
		must(r.t, err)
	}
	o := &git.CommitOptions{Author: &object.Signature{Name: "Ada", Email: "ada@example.com", When: time.Now()}, AllowEmptyCommits: true}
	for _, f := range options {
		f(o)
	}
	hash, err := tree.Commit("change", o)
	must(r.t, err)
	r.push()
	return hash.String()
}

// rewind makes the branch what it was at that commit.
func (r *repository) rewind(commit string) {
	r.t.Helper()
	tree, err := r.clone.Worktree()
	must(r.t, err)
	must(r.t, tree.Reset(&git.ResetOptions{Commit: plumbing.NewHash(commit), Mode: git.HardReset}))
}

func (r *repository) push() {
	r.t.Helper()
	must(r.t, r.clone.Push(&git.PushOptions{Force: true, RefSpecs: []config.RefSpec{"+refs/heads/main:refs/heads/main"}}))
}

// service is a manifest of a service in east that calls others.
func service(name string, egress ...string) string {
	var calls []string
	for _, callee := range egress {
		calls = append(calls, callee+": {}")
	}
	return "package config\n\nservices: \"" + name + "\": {\n\towner: \"tests\"\n\tports: http: {port: 80, protocol: \"HTTP\"}\n" +
		"\tbackend: {namespace: \"" + name + "\", selector: app: \"" + name + "\", serviceAccounts: [\"" + name + "\"]}\n" +
		"\tplacement: {east: {}, west: {}}\n\tegress: {" + strings.Join(calls, ", ") + "}\n}\n"
}
