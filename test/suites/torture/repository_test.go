//go:build linux

package torture_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/gittestserver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// repository is the mesh repository on a real Git server behind a gate, and a clone to commit from.
type repository struct {
	server *gittestserver.GitServer
	front  *httptest.Server
	gate   *gate
	clone  string
	// exports are what cue says of trees, by tree and cluster.
	exports map[string]map[string]*unstructured.Unstructured
	commits int
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	served := gitops.NewRepository(t, os.DirFS(root+"examples/quickstart"))
	r := &repository{server: served.Server, clone: served.Clone, gate: &gate{}, exports: map[string]map[string]*unstructured.Unstructured{}}
	r.open(t)
	return r
}

// open puts the gate before the server, with TLS, without which no password is sent.
func (r *repository) open(t *testing.T) {
	t.Helper()
	target, err := url.Parse(r.server.HTTPAddress())
	must(t, err)
	r.gate.next = &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	r.front = httptest.NewUnstartedServer(r.gate)
	r.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.front.StartTLS()
	t.Cleanup(func() {
		r.front.CloseClientConnections()
		r.front.Close()
	})
}

func (r *repository) url() string { return r.front.URL + "/mesh.git" }

// run runs the real git and returns what it prints.
func (r *repository) run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := gitops.Git(context.Background(), dir, args...)
	must(t, err)
	return out
}

// commit makes the mesh what the files say and pushes that.
func (r *repository) commit(t *testing.T, files map[string]string) string {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(r.clone, "services")))
	must(t, os.Mkdir(filepath.Join(r.clone, "services"), 0o755))
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(r.clone, name), []byte(text), 0o644))
	}
	r.run(t, r.clone, "add", "-A")
	r.run(t, r.clone, "commit", "-q", "--allow-empty", "-m", "Change")
	r.run(t, r.clone, "push", "-q", "--force", "origin", "main")
	r.commits++
	return r.head(t)
}

func (r *repository) head(t *testing.T) string {
	t.Helper()
	return r.run(t, r.clone, "rev-parse", "HEAD")
}

// rewind forgets the last commits of the clone; the next push rewrites the branch's history.
func (r *repository) rewind(t *testing.T, commits int) {
	t.Helper()
	for range commits {
		if strings.Contains(r.run(t, r.clone, "log", "-1", "--format=%P"), " ") || r.run(t, r.clone, "log", "-1", "--format=%P") == "" {
			return
		}
		r.run(t, r.clone, "reset", "-q", "--hard", "HEAD~1")
	}
}

// exported are the resources of the clone's head for a cluster, by the real cue command.
func (r *repository) exported(t *testing.T, cluster string) map[string]*unstructured.Unstructured {
	t.Helper()
	key := r.run(t, r.clone, "rev-parse", "HEAD^{tree}") + " " + cluster
	if known := r.exports[key]; known != nil {
		return known
	}
	cmd := exec.CommandContext(t.Context(), cue, "export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	cmd.Dir = r.clone
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cue export for %s: %v\n%s", cluster, err, stderr.String())
	}
	var resources map[string]map[string]any
	must(t, json.Unmarshal(out, &resources))
	objects := map[string]*unstructured.Unstructured{}
	var hosts []string
	for key, object := range resources {
		objects[key] = &unstructured.Unstructured{Object: object}
		hosts = append(hosts, hostsOf(objects[key])...)
	}
	for _, pillar := range pillars {
		if !slices.Contains(hosts, hostOf(pillar)) {
			t.Fatalf("the commit has no ServiceEntry of %s in %s, so the watch for it shows nothing", hostOf(pillar), cluster)
		}
	}
	r.exports[key] = objects
	return objects
}
