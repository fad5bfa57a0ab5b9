package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// command is isthmus, built once.
var command = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "isthmus")
	return path, gitops.Build(context.Background(), root, path)
})

// reader is what docs/operate.md asks for.
var reader = []rbacv1.PolicyRule{
	{APIGroups: []string{"networking.istio.io", "security.istio.io", "telemetry.istio.io"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{""}, Resources: []string{"services", "namespaces"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{"isthmus.dev"}, Resources: []string{"meshsyncs"}, Verbs: []string{"list"}},
}

// person runs isthmus plan on the clone, with a kubeconfig of these rights.
type person struct {
	w          *world
	kubeconfig string
}

func (w *world) person(rules []rbacv1.PolicyRule) *person {
	w.T.Helper()
	config, err := w.Cluster.AddUser(w.T.Context(), strings.ToLower(w.T.Name()), rules...)
	must(w.T, err)
	data, err := w.Cluster.Kubeconfig(config)
	must(w.T, err)
	p := &person{w: w, kubeconfig: filepath.Join(w.T.TempDir(), "kubeconfig")}
	must(w.T, os.WriteFile(p.kubeconfig, data, 0o600))
	return p
}

func (p *person) plan(status int, args ...string) (stdout, stderr string) {
	p.w.T.Helper()
	path, err := command()
	must(p.w.T, err)
	cmd := exec.CommandContext(p.w.T.Context(), path, append([]string{"plan", "--repo", p.w.Git.Clone}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		p.w.T.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		p.w.T.Fatalf("isthmus plan %v ended with %d, want %d:\n%s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// report is the part of -o json that is compared.
type report struct {
	Cluster, MeshSync, Applied string
	Namespaces, Stops          []string
	Unchanged                  int
	Brake                      *struct{ Kind, Digest string }
	Problems                   []struct{ Message string }
	Findings                   []struct{ Service string }
	Actions                    []struct {
		Verb, Kind, Namespace, Name, Service, Effect, Reason string
		Fields                                               []string
		Before, After                                        map[string]any
	}
}

func (p *person) report(status int, args ...string) report {
	p.w.T.Helper()
	out, _ := p.plan(status, append(args, "-o", "json")...)
	var r report
	must(p.w.T, json.Unmarshal([]byte(out), &r))
	return r
}

// verbs are what is done with each object.
func (r report) verbs() map[string]string {
	out := map[string]string{}
	for _, namespace := range r.Namespaces {
		out["Namespace//"+namespace] = "create"
	}
	for _, a := range r.Actions {
		out[a.Kind+"/"+a.Namespace+"/"+a.Name] = a.Verb
	}
	return out
}

// after are the objects as they are after the plan is carried out.
func (r report) after() map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, a := range r.Actions {
		if a.After != nil {
			out[a.Kind+"/"+a.Namespace+"/"+a.Name] = a.After
		}
	}
	return out
}

// plain is an object as a plan shows it, with the numbers of JSON.
func plain(t *testing.T, object *unstructured.Unstructured) map[string]any {
	t.Helper()
	data, err := json.Marshal(object.Object)
	must(t, err)
	var out map[string]any
	must(t, json.Unmarshal(data, &out))
	delete(out, "status")
	metadata := out["metadata"].(map[string]any)
	maps.DeleteFunc(metadata, func(field string, _ any) bool {
		return field != "name" && field != "namespace" && field != "labels" && field != "annotations"
	})
	return out
}
