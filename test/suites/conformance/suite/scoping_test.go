package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/promise"
)

// large is a mesh of 5,000 services, ten of which are called from one cluster.
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

func TestACallerOfTenServicesAmongFiveThousandGetsConfigurationForTen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clusters.cue"), []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	r := scene{name: "large", dir: dir}.load(t)
	if len(r.Mesh.Services) != 5001 {
		t.Fatalf("the mesh has %d services", len(r.Mesh.Services))
	}
	kinds := map[string]int{}
	for key := range r.Bundles["home"] {
		kind, _, _ := strings.Cut(key, "/")
		kinds[kind]++
	}
	if d := cmp.Diff(map[string]int{"ServiceEntry": 10, "DestinationRule": 10}, kinds); d != "" {
		t.Errorf("what the caller's cluster gets (-want +got):\n%s", d)
	}

	// The pods of the others are of no interest: their cluster is not the caller's.
	for name := range r.Mesh.Services {
		if _, called := r.Mesh.Services["caller"].Egress[name]; !called && name != "caller" {
			delete(r.Mesh.Services, name)
		}
	}
	w := worldOf(r, promise.Deviations{})
	calls := declared(t, r.Mesh, w)
	var known []string
	for _, c := range start(t, w).Clusters(calls[0].Cluster, calls[0].Pod) {
		if strings.HasPrefix(c, "outbound|") && strings.HasSuffix(c, ".global") {
			known = append(known, c)
		}
	}
	if len(known) != 10 {
		t.Errorf("the caller's proxy knows %d clusters of the mesh, want 10: %v", len(known), known)
	}
}
