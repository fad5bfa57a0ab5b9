package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/expected"
)

// large is a mesh of 5,000 services. One cluster calls ten of them.
const large = `package config

import "list"

clusters: {
	home: {region: "eu", gateways: [{address: "192.0.2.1"}]}
	away: {region: "us", gateways: [{address: "192.0.2.2"}]}
}
services: {
	for i in list.Range(0, 5000, 1) {
		"s\(i)": {
			owner: "o"
			ports: http: {port: 80, protocol: "HTTP"}
			backend: {namespace: "n\(mod(i, 50))", selector: app: "s\(i)", serviceAccounts: ["s\(i)"]}
			placement: away: {}
		}
	}
	caller: {
		owner: "o"
		ports: http: {port: 80, protocol: "HTTP"}
		backend: {namespace: "caller", selector: app: "caller", serviceAccounts: ["caller"]}
		placement: home: {}
		egress: {for i in list.Range(0, 10, 1) {"s\(i*7)": {}}}
	}
}
`

func TestCallerOfTenOfFiveThousandServicesGetsConfigurationForTen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clusters.cue"), []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	r := scenarioFolder{name: "large", dir: dir}.load(t)
	if len(r.Mesh.Services) != 5001 {
		t.Fatalf("the mesh has %d services", len(r.Mesh.Services))
	}
	kinds := map[string]int{}
	for key := range r.Bundles["home"] {
		kind, _, _ := strings.Cut(key, "/")
		kinds[kind]++
	}
	if d := cmp.Diff(map[string]int{"ServiceEntry": 10, "DestinationRule": 10}, kinds); d != "" {
		t.Errorf("kinds in the bundle of the caller's cluster (-want +got):\n%s", d)
	}

	// Pods of other services run in the other cluster and do not affect the caller's proxy.
	for name := range r.Mesh.Services {
		if _, called := r.Mesh.Services["caller"].Egress[name]; !called && name != "caller" {
			delete(r.Mesh.Services, name)
		}
	}
	sc := newScenario(r, expected.Deviations{})
	calls := declaredCalls(t, r.Mesh, sc)
	var filter []string
	for _, c := range start(t, sc).Clusters(calls[0].Cluster, calls[0].Pod) {
		if strings.HasPrefix(c, "outbound|") && strings.HasSuffix(c, ".global") {
			filter = append(filter, c)
		}
	}
	if len(filter) != 10 {
		t.Errorf("the caller's proxy knows %d clusters of the mesh, want 10: %v", len(filter), filter)
	}
}
