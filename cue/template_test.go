package meshmodule_test

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// mesh has four clusters: a, b and b2 in one region, a and b2 in one zone, c in another region.
// Service app runs in a and calls service api.
const mesh = `package config

clusters: {
	a: {region: "r1", zone: "z1", gateways: [{address: "192.0.2.1"}]}
	b: {region: "r1", zone: "z2", gateways: [{address: "192.0.2.2"}]}
	b2: {region: "r1", zone: "z1", gateways: [{address: "192.0.2.3"}]}
	c: {region: "r2", gateways: *[{address: "192.0.2.4"}] | [...]}
}
services: app: {
	owner: "x"
	ports: http: {port: 80, protocol: "HTTP"}
	backend: {namespace: "app", selector: app: "app", serviceAccounts: ["app"]}
	placement: a: {}
	egress: api: {}
}
services: api: {
	owner: "x"
	hosts: *["api.example.com"] | [...string]
	ports: http: {port: 80, protocol: *"HTTP" | string}
	backend: {namespace: "api", serviceAccounts: ["api"]}
}
`

const (
	selected = "services: api: backend: selector: app: \"api\"\n"
	remote   = "ServiceEntry/api/api.example.com-remote"
	local    = "ServiceEntry/api/api.example.com-local"
	rule     = "DestinationRule/api/api.example.com"
	routes   = "VirtualService/api/api.example.com"
	exported = "ServiceEntry/api/api.example.com.isthmus.internal"
	gateway  = "Gateway/istio-system/isthmus-crosscluster"
)

// rendering is one value in the resources of a cluster, for mesh with an addition.
type rendering struct {
	reason  string
	cue     string
	cluster string
	key     string   // of the resource, "" for the keys of all resources
	path    []string // in the resource
	want    any      // nil: no value at the path or, without a path, no such resource
}

func renders(t *testing.T, cases []rendering) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			all := bundle(t, c.cue, c.cluster)
			if c.key == "" {
				if d := cmp.Diff(c.want, any(slices.Sorted(maps.Keys(all)))); d != "" {
					t.Errorf("resources in cluster %s (-want +got):\n%s", c.cluster, d)
				}
				return
			}
			object, ok := all[c.key]
			if c.path == nil {
				if ok {
					t.Errorf("%s is rendered", c.key)
				}
				return
			}
			if !ok {
				t.Fatalf("%s is not rendered, only %v", c.key, slices.Sorted(maps.Keys(all)))
			}
			if d := cmp.Diff(c.want, field(object, c.path)); d != "" {
				t.Errorf("%s of %s (-want +got):\n%s", strings.Join(c.path, "."), c.key, d)
			}
		})
	}
}

// bundles are the functions that make the results of bundle, by its arguments: many cases look at the same bundle.
var bundles sync.Map

// bundle returns the resources of a cluster, for mesh with an addition. The result must
// not be changed.
func bundle(t *testing.T, addition, cluster string) map[string]any {
	t.Helper()
	dir := quickstart(t)
	write(t, filepath.Join(dir, "clusters.cue"), "package config\n")
	for _, s := range []string{"web", "cart", "stock"} {
		write(t, filepath.Join(dir, "services", s+".cue"), "package config\n")
	}
	write(t, filepath.Join(dir, "services", "mesh.cue"), mesh)
	write(t, filepath.Join(dir, "services", "case.cue"), "package config\n\n"+addition+"\n")
	snap, err := source.FromDir(context.Background(), dir, source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	once, _ := bundles.LoadOrStore([2]string{addition, cluster}, sync.OnceValues(func() (map[string]any, error) {
		return rendered(snap, cluster)
	}))
	all, err := once.(func() (map[string]any, error))()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func rendered(snap *source.Snapshot, cluster string) (map[string]any, error) {
	result, err := evaluate.Evaluate(context.Background(), snap, evaluate.Options{Cluster: cluster})
	if err != nil {
		return nil, err
	}
	all := make(map[string]any, len(result.Rendered))
	for key, data := range result.Rendered {
		var object any
		if err := utiljson.Unmarshal(data, &object); err != nil {
			return nil, err
		}
		all[key] = object
	}
	return all, nil
}

// ranked returns the labels of an endpoint in a cluster.
func ranked(cluster string, rank int) any {
	return map[string]any{
		"isthmus.dev/cluster": cluster, "isthmus.dev/remote": "true", "security.istio.io/tlsMode": "istio",
		"isthmus.dev/failover-" + string(rune('0'+rank)): "true",
	}
}

// field returns the value at a path. For a list it returns the values of the elements.
func field(v any, path []string) any {
	if len(path) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		return field(v[path[0]], path[1:])
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = field(e, path)
		}
		return out
	}
	return nil
}
