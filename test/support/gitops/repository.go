package gitops

import (
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/gittestserver"
)

// Repository is a mesh repository on a real Git server, and a clone to commit from. The server
// stops at the end of the test.
type Repository struct {
	T      *testing.T
	Server *gittestserver.GitServer
	// Clone is the folder of the clone. Its branch is main.
	Clone string
	// First is the first commit.
	First string
	// Asked counts the polls for new commits.
	Asked atomic.Int64
	// Down makes the server respond with 503. Hung makes it send no response.
	Down, Hung atomic.Bool
}

// NewRepository serves a repository with one commit of the files.
func NewRepository(t *testing.T, files fs.FS) *Repository {
	t.Helper()
	r := &Repository{T: t, Server: gittestserver.NewGitServer(t.TempDir()), Clone: t.TempDir()}
	r.Server.AddHTTPMiddlewares(r.watch)
	r.Run("", "init", "-q", "--bare", "-b", "main", r.Bare())
	r.Run("", "init", "-q", "-b", "main", r.Clone)
	r.Run(r.Clone, "config", "core.compression", "0") // saves time
	r.Run(r.Clone, "remote", "add", "origin", r.Bare())
	Must(t, os.CopyFS(r.Clone, files))
	Must(t, r.Server.StartHTTP())
	t.Cleanup(r.Server.StopHTTP)
	r.First = r.Commit(nil)
	return r
}

func (r *Repository) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Query().Get("service") == "git-upload-pack" {
			r.Asked.Add(1)
		}
		for r.Hung.Load() {
			select {
			case <-request.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		if r.Down.Load() {
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, request)
	})
}

// Bare is the folder of the repository that the server serves.
func (r *Repository) Bare() string { return filepath.Join(r.Server.Root(), "mesh.git") }

// URL is the value for spec.source.url.
func (r *Repository) URL() string { return r.Server.HTTPAddress() + "/mesh.git" }

// Run is [Git]. An error ends the test.
func (r *Repository) Run(dir string, args ...string) string {
	r.T.Helper()
	// The context of the test has ended when a cleanup runs git.
	out, err := Git(context.Background(), dir, args...)
	Must(r.T, err)
	return out
}

// Write writes a file in the clone. An empty text removes the file or folder.
func (r *Repository) Write(name, text string) {
	r.T.Helper()
	path := filepath.Join(r.Clone, name)
	if text == "" {
		Must(r.T, os.RemoveAll(path))
		return
	}
	Must(r.T, os.MkdirAll(filepath.Dir(path), 0o755))
	Must(r.T, os.WriteFile(path, []byte(text), 0o644))
}

// Commit writes files as [Repository.Write] does, commits everything in the clone and pushes. It
// returns the commit.
func (r *Repository) Commit(files map[string]string) string {
	r.T.Helper()
	for name, text := range files {
		r.Write(name, text)
	}
	r.Run(r.Clone, "add", "-A")
	r.Run(r.Clone, "commit", "-q", "--allow-empty", "-m", "Change")
	return r.Push()
}

// Edit replaces text in a file, commits and pushes. It returns the commit.
func (r *Repository) Edit(name, from, to string) string {
	r.T.Helper()
	text, err := os.ReadFile(filepath.Join(r.Clone, name))
	Must(r.T, err)
	if !strings.Contains(string(text), from) {
		r.T.Fatalf("%s does not contain %q, so the test changes nothing", name, from)
	}
	return r.Commit(map[string]string{name: strings.ReplaceAll(string(text), from, to)})
}

// Push force-pushes the branch of the clone and returns its commit.
func (r *Repository) Push() string {
	r.T.Helper()
	r.Run(r.Clone, "push", "-q", "--force", "origin", "main")
	return r.Run(r.Clone, "rev-parse", "HEAD")
}

// Rewind resets the branch of the clone to an earlier commit. The next push rewrites history.
func (r *Repository) Rewind(commit string) {
	r.T.Helper()
	r.Run(r.Clone, "reset", "-q", "--hard", commit)
}

// Restore commits the tree of an earlier commit again and pushes.
func (r *Repository) Restore(commit string) string {
	r.T.Helper()
	r.Clear()
	r.Run(r.Clone, "read-tree", commit)
	r.Run(r.Clone, "checkout-index", "--all", "--force")
	return r.Commit(nil)
}

// Clear removes every file of the clone.
func (r *Repository) Clear() {
	r.T.Helper()
	entries, err := os.ReadDir(r.Clone)
	Must(r.T, err)
	for _, entry := range entries {
		if entry.Name() != ".git" {
			Must(r.T, os.RemoveAll(filepath.Join(r.Clone, entry.Name())))
		}
	}
}
