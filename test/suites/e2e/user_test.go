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

// command is the path of isthmus, built once.
var command = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(suite.Controller), "isthmus")
	return path, gitops.Build(context.Background(), root, path)
})

// readerRules are the permissions that docs/operate.md requires for isthmus plan.
var readerRules = []rbacv1.PolicyRule{
	{APIGroups: []string{"networking.istio.io", "security.istio.io", "telemetry.istio.io"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{""}, Resources: []string{"services", "namespaces"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{"isthmus.dev"}, Resources: []string{"meshsyncs"}, Verbs: []string{"list"}},
}

// user runs isthmus plan in the clone with limited permissions.
type user struct {
	env        *environment
	kubeconfig string
}

func (env *environment) user(rules []rbacv1.PolicyRule) *user {
	env.T.Helper()
	config, err := env.Cluster.AddUser(env.T.Context(), strings.ToLower(env.T.Name()), rules...)
	must(env.T, err)
	kubeconfig, err := gitops.WriteKubeconfig(env.Cluster, config, env.T.TempDir())
	must(env.T, err)
	return &user{env: env, kubeconfig: kubeconfig}
}

// plan runs isthmus plan and returns its output. Another exit status ends the test.
func (u *user) plan(status int, args ...string) (stdout, stderr string) {
	u.env.T.Helper()
	path, err := command()
	must(u.env.T, err)
	cmd := exec.CommandContext(u.env.T.Context(), path, append([]string{"plan", "--repo", u.env.Git.Clone}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+u.kubeconfig)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		u.env.T.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		u.env.T.Fatalf("isthmus plan %v ended with %d, want %d:\n%s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// report contains the fields of -o json that the tests compare.
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

// report runs isthmus plan -o json.
func (u *user) report(status int, args ...string) report {
	u.env.T.Helper()
	out, _ := u.plan(status, append(args, "-o", "json")...)
	var r report
	must(u.env.T, json.Unmarshal([]byte(out), &r))
	return r
}

// verbs returns the verb of the action for each object.
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

// after returns the objects as the plan shows them.
func (r report) after() map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, a := range r.Actions {
		if a.After != nil {
			out[a.Kind+"/"+a.Namespace+"/"+a.Name] = a.After
		}
	}
	return out
}

// manifestOf returns an object in the form of a plan: without status and server-side metadata, and
// with the number type of JSON.
func manifestOf(t *testing.T, object *unstructured.Unstructured) map[string]any {
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
