//go:build linux

package torture_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/gittestserver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
	"github.com/isthmus-mesh/isthmus/test/support/relay"
)

// repository is the mesh repository on a real Git server behind a proxy, and a clone to commit
// from.
type repository struct {
	server *gittestserver.GitServer
	// front serves proxy.
	front *httptest.Server
	proxy *gitProxy
	clone string
	// exports caches the output of cue export by tree and cluster.
	exports map[string]map[string]*unstructured.Unstructured
	commits int
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	served := gitops.NewRepository(t, os.DirFS(root+"examples/quickstart"))
	r := &repository{server: served.Server, clone: served.Clone, proxy: &gitProxy{}, exports: map[string]map[string]*unstructured.Unstructured{}}
	r.startProxy(t)
	return r
}

// startProxy starts the proxy with TLS. Without TLS, no password is sent.
func (r *repository) startProxy(t *testing.T) {
	t.Helper()
	target, err := url.Parse(r.server.HTTPAddress())
	must(t, err)
	r.proxy.next = &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	r.front = httptest.NewUnstartedServer(r.proxy)
	r.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.front.StartTLS()
	t.Cleanup(func() { relay.Stop(r.front) })
}

func (r *repository) url() string { return r.front.URL + "/mesh.git" }

// run runs git in the clone and returns its output.
func (r *repository) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := gitops.Git(context.Background(), r.clone, args...)
	must(t, err)
	return out
}

// commit replaces all service files and the given other files, and pushes the commit.
func (r *repository) commit(t *testing.T, files map[string]string) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(r.clone, "services")))
	must(t, os.Mkdir(filepath.Join(r.clone, "services"), 0o755))
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(r.clone, name), []byte(text), 0o644))
	}
	r.run(t, "add", "-A")
	r.run(t, "commit", "-q", "--allow-empty", "-m", "Change")
	r.run(t, "push", "-q", "--force", "origin", "main")
	r.commits++
}

func (r *repository) head(t *testing.T) string {
	t.Helper()
	return r.run(t, "rev-parse", "HEAD")
}

// rewind removes the last commits from the clone. The next push rewrites history.
func (r *repository) rewind(t *testing.T, commits int) {
	t.Helper()
	for range commits {
		if parents := r.run(t, "log", "-1", "--format=%P"); parents == "" || strings.Contains(parents, " ") {
			return
		}
		r.run(t, "reset", "-q", "--hard", "HEAD~1")
	}
}

// exported returns the cue export of HEAD for a cluster.
func (r *repository) exported(t *testing.T, cluster string) map[string]*unstructured.Unstructured {
	t.Helper()
	key := r.run(t, "rev-parse", "HEAD^{tree}") + " " + cluster
	if cached := r.exports[key]; cached != nil {
		return cached
	}
	objects, err := cuecmd.Export(t.Context(), suite.Cue, r.clone, cluster)
	must(t, err)
	var hosts []string
	for _, object := range objects {
		hosts = append(hosts, gitops.HostsOf(object)...)
	}
	for _, name := range requiredServices {
		if !slices.Contains(hosts, hostOf(name)) {
			t.Fatalf("the commit has no ServiceEntry of %s in %s, so the check for its absence proves nothing", hostOf(name), cluster)
		}
	}
	r.exports[key] = objects
	return objects
}
