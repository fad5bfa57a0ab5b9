package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/gittestserver"
)

// limit is the timeout of operations on loopback.
const limit = 60 * time.Second

// TestMain silences the Git server, which logs every request.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// server is a real Git server on loopback with one bare repository, and a clone to commit from.
type server struct {
	t     *testing.T
	git   *gittestserver.GitServer
	bare  string
	clone string
	// packs counts the requested packs, lists the requested lists of refs.
	packs, lists atomic.Int64
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, git: gittestserver.NewGitServer(t.TempDir())}
	s.git.AddHTTPMiddlewares(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/git-upload-pack"):
				s.packs.Add(1)
			case strings.HasSuffix(r.URL.Path, "/info/refs"):
				s.lists.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	s.bare = filepath.Join(s.git.Root(), "mesh.git")
	s.clone = t.TempDir()
	s.run("", "init", "-q", "--bare", "-b", "main", s.bare)
	s.run("", "init", "-q", "-b", "main", s.clone)
	s.run(s.clone, "remote", "add", "origin", s.bare)
	return s
}

// startHTTP serves the repository over plain HTTP and returns its URL.
func (s *server) startHTTP() string {
	s.t.Helper()
	if err := s.git.StartHTTP(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.git.StopHTTP)
	return s.git.HTTPAddress() + "/mesh.git"
}

// run runs git and returns its output.
func (s *server) run(dir string, args ...string) string {
	s.t.Helper()
	return s.runWith(dir, nil, args...)
}

func (s *server) runWith(dir string, stdin []byte, args ...string) string {
	s.t.Helper()
	// Compressing random data would take most of the time of a test.
	cmd := exec.Command("git", append([]string{"-c", "core.compression=0"}, args...)...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=an engineer", "GIT_AUTHOR_EMAIL=engineer@example.com",
		"GIT_COMMITTER_NAME=an engineer", "GIT_COMMITTER_EMAIL=engineer@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// write writes a file in the clone.
func (s *server) write(name, text string) {
	s.t.Helper()
	writeFile(s.t, filepath.Join(s.clone, name), text)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commit commits all files of the clone without pushing.
func (s *server) commit(message string) string {
	s.t.Helper()
	s.run(s.clone, "add", "-A")
	s.run(s.clone, "commit", "-q", "--allow-empty", "-m", message)
	return s.run(s.clone, "rev-parse", "HEAD")
}

// push commits all files of the clone and force-pushes them to a branch.
func (s *server) push(branch, message string) string {
	s.t.Helper()
	hash := s.commit(message)
	s.run(s.clone, "push", "-q", "--force", "origin", "HEAD:refs/heads/"+branch)
	return hash
}

// seed pushes a first commit with a small mesh to main.
func (s *server) seed() string {
	s.t.Helper()
	s.write("mesh.cue", "package config\n")
	s.write("services/cart.cue", "package config\nservices: cart: owner: \"shop\"\n")
	return s.push("main", "First commit")
}

func newGit(t *testing.T, o Options) *Git {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return g
}

func fetch(t *testing.T, g *Git, previous string) (*Snapshot, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return g.Fetch(ctx, previous)
}

func mustFetch(t *testing.T, g *Git) *Snapshot {
	t.Helper()
	s, err := fetch(t, g, "")
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	return s
}

// wantError checks the reason of an error, and that its text contains all names.
func wantError(t *testing.T, err error, reason Reason, names ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one of reason %s", reason)
	}
	if got := ReasonFor(err); got != reason {
		t.Errorf("reason is %s, want %s: %v", got, reason, err)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not contain %q: %v", name, err)
		}
	}
}

// wantWithout checks that an error contains no secret.
func wantWithout(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("the error contains the secret %q: %v", secret, err)
		}
	}
}

// front returns a reverse proxy in front of a Git server, for behavior that the Git server lacks.
func front(t *testing.T, to string, wrap func(http.Handler) http.Handler) *httptest.Server {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = ""
	f := httptest.NewUnstartedServer(wrap(httputil.NewSingleHostReverseProxy(u)))
	t.Cleanup(f.Close)
	return f
}

// eventually polls until ok, up to limit.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}
