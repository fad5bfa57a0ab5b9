package e2e_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fluxcd/pkg/gittestserver"
)

// repository is a mesh repository on a real Git server, at first with the content of examples/quickstart, and a clone
// to commit from.
type repository struct {
	t      *testing.T
	server *gittestserver.GitServer
	clone  string
	first  string
	// asked counts the times that somebody looked for new commits; down makes the server fail.
	asked atomic.Int64
	down  atomic.Bool
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{t: t, server: gittestserver.NewGitServer(t.TempDir()), clone: t.TempDir()}
	r.server.AddHTTPMiddlewares(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.URL.Query().Get("service") == "git-upload-pack" {
				r.asked.Add(1)
			}
			if r.down.Load() {
				http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, request)
		})
	})
	bare := filepath.Join(r.server.Root(), "mesh.git")
	r.run("", "init", "-q", "--bare", "-b", "main", bare)
	r.run("", "init", "-q", "-b", "main", r.clone)
	r.run(r.clone, "remote", "add", "origin", bare)
	must(t, os.CopyFS(r.clone, os.DirFS(root+"examples/quickstart")))
	must(t, r.server.StartHTTP())
	t.Cleanup(r.server.StopHTTP)
	r.first = r.commit(nil)
	return r
}

func (r *repository) url() string { return r.server.HTTPAddress() + "/mesh.git" }

// run runs the real git and returns what it prints.
func (r *repository) run(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(context.Background(), "git", append([]string{"-c", "core.compression=0", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, "" removing one, and pushes; it returns the commit.
func (r *repository) commit(files map[string]string) string {
	r.t.Helper()
	for name, text := range files {
		r.write(name, text)
	}
	r.run(r.clone, "add", "-A")
	r.run(r.clone, "commit", "-q", "--allow-empty", "-m", "Change")
	return r.push()
}

func (r *repository) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.clone, name)
	if text == "" {
		must(r.t, os.RemoveAll(path))
		return
	}
	must(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(r.t, os.WriteFile(path, []byte(text), 0o644))
}

// edit replaces text in a file and pushes the commit.
func (r *repository) edit(name, from, to string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.clone, name))
	must(r.t, err)
	if !strings.Contains(string(text), from) {
		r.t.Fatalf("%s does not hold %q, so this test changes nothing", name, from)
	}
	return r.commit(map[string]string{name: strings.ReplaceAll(string(text), from, to)})
}

// push makes the branch on the server what it is in the clone, and returns that commit.
func (r *repository) push() string {
	r.t.Helper()
	r.run(r.clone, "push", "-q", "--force", "origin", "main")
	return r.run(r.clone, "rev-parse", "HEAD")
}

// restore commits the tree of an earlier commit again, as a revert does.
func (r *repository) restore(commit string) string {
	r.t.Helper()
	r.clear()
	r.run(r.clone, "read-tree", commit)
	r.run(r.clone, "checkout-index", "--all", "--force")
	return r.commit(nil)
}

// clear removes every file of the clone.
func (r *repository) clear() {
	r.t.Helper()
	entries, err := os.ReadDir(r.clone)
	must(r.t, err)
	for _, entry := range entries {
		if entry.Name() != ".git" {
			must(r.t, os.RemoveAll(filepath.Join(r.clone, entry.Name())))
		}
	}
}
