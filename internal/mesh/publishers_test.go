package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

type taking = map[mesh.Relation][]string

func TestWhoTakesACall(t *testing.T) {
	clusters := map[string]manifest.Cluster{
		"home": {State: manifest.Active}, "leaving": {State: manifest.Draining}, "dark": {State: manifest.Down},
		"twin": {State: manifest.Active, Discovery: "g"}, "twin2": {State: manifest.Active, Discovery: "g"}, "twin3": {State: manifest.Draining, Discovery: "g"},
		"primary": {State: manifest.Draining}, "moon": {State: manifest.Active, ControlPlane: remoteTo("primary")},
		"tired": {State: manifest.Draining}, "asleep": {State: manifest.Down, ControlPlane: remoteTo("tired")},
	}
	cases := []struct {
		reason string
		from   string
		spread manifest.Spread
		placed at
		want   taking
	}{
		{"nowhere to go", "home", "", at{}, taking{}},
		{"own pods and other clusters", "home", "", at{"home": {}, "twin": {}}, taking{mesh.Same: {"home"}, mesh.Gatewayed: {"twin"}}},
		{"other clusters only while they are active", "home", "", at{"leaving": {}, "dark": {}}, taking{}},
		{"the own pods of a draining cluster", "leaving", "", at{"leaving": {}, "home": {}}, taking{mesh.Same: {"leaving"}, mesh.Gatewayed: {"home"}}},
		{"the own pods of a cluster that is down for all others", "dark", "", at{"dark": {}}, taking{mesh.Same: {"dark"}}},
		{"standby takes calls, later", "home", "", at{"home": {Standby: true}, "twin": {Standby: true}}, taking{mesh.Same: {"home"}, mesh.Gatewayed: {"twin"}}},
		{
			"the discovery group beside gateways", "twin", manifest.Nearest,
			at{"twin": {}, "twin2": {}, "home": {}},
			taking{mesh.Same: {"twin"}, mesh.Discovered: {"twin2"}, mesh.Gatewayed: {"home"}},
		},
		{"the discovery group, but not who drains in it", "twin", "", at{"twin2": {}, "twin3": {}}, taking{mesh.Discovered: {"twin2"}}},
		{"home in a discovery group, though draining", "twin3", "", at{"twin2": {}, "twin3": {}}, taking{mesh.Same: {"twin3"}, mesh.Discovered: {"twin2"}}},
		{
			"weights change the shares, not who has one", "home", manifest.Weighted,
			at{"home": {Weight: 1}, "twin": {Weight: 2}},
			taking{mesh.Same: {"home"}, mesh.Gatewayed: {"twin"}},
		},
		{"local only: own pods", "home", manifest.LocalOnly, at{"home": {}, "twin": {}}, taking{mesh.Same: {"home"}}},
		{"local only: not the discovery group's", "twin", manifest.LocalOnly, at{"twin2": {}}, taking{}},
		{"local only: not those of another cluster of the control plane", "primary", manifest.LocalOnly, at{"moon": {}}, taking{}},
		{"local only: own pods even while draining", "primary", manifest.LocalOnly, at{"primary": {}, "moon": {}}, taking{mesh.Same: {"primary"}}},
		{"a remote cluster's own pods", "moon", "", at{"moon": {}, "home": {}}, taking{mesh.Same: {"moon"}, mesh.Gatewayed: {"home"}}},
		{"two clusters with one configuration: who drains there drains for both", "primary", "", at{"primary": {}, "moon": {}}, taking{mesh.Discovered: {"moon"}}},
		{"two clusters with one configuration, and help from elsewhere", "primary", "", at{"primary": {}, "home": {}}, taking{mesh.Gatewayed: {"home"}}},
		{
			"two clusters with one configuration, neither active and no help: better these than none", "tired", "",
			at{"tired": {}, "asleep": {}, "leaving": {}},
			taking{mesh.Same: {"tired"}},
		},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			m := &manifest.Mesh{Clusters: clusters, Services: map[string]manifest.Service{"callee": {Spread: c.spread, Placement: c.placed}}}
			if d := cmp.Diff(c.want, mesh.Publishers(m, c.from, "callee")); d != "" {
				t.Errorf("from %s (-want +got):\n%s", c.from, d)
			}
		})
	}
}

func TestNobodyInTheMeshTakesACallOfAnExternal(t *testing.T) {
	m := &manifest.Mesh{Clusters: map[string]manifest.Cluster{"a": {State: manifest.Active}}, Externals: map[string]manifest.External{"stripe": {}}}
	if got := mesh.Publishers(m, "a", "stripe"); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// The state of the publisher plays no part: callers may not have heard of it yet.
func TestWhatACallNeedsTheGatewayFor(t *testing.T) {
	clusters := map[string]manifest.Cluster{
		"pub": {State: manifest.Down, Network: "net", Discovery: "g"}, "away": {}, "beside": {Network: "net"},
		"flat": {Network: "net", Discovery: "g"}, "split": {Discovery: "g"},
		"half": {Network: "net"}, "half-moon": {ControlPlane: remoteTo("half")},
		"public": {PublicGateway: &manifest.PublicGateway{}}, "private": {},
	}
	cases := []struct {
		reason string
		from   at
		callee manifest.Service
		want   bool
	}{
		{"nobody calls", nil, manifest.Service{Placement: at{"pub": {}}}, false},
		{"pods of the same cluster", at{"pub": {}}, manifest.Service{Placement: at{"pub": {}}}, false},
		{"a caller without any relation", at{"away": {}}, manifest.Service{Placement: at{"pub": {}}}, true},
		{"a discovered caller on the same network goes to the pods", at{"flat": {}}, manifest.Service{Placement: at{"pub": {}}}, false},
		{"a discovered caller on another network", at{"split": {}}, manifest.Service{Placement: at{"pub": {}}}, true},
		{"the same network without discovery", at{"beside": {}}, manifest.Service{Placement: at{"pub": {}}}, true},
		{"the same network, and an address there", at{"beside": {}}, manifest.Service{Placement: at{"pub": {Address: "10.0.0.9"}}}, false},
		{"an address of another network is of no use", at{"away": {}}, manifest.Service{Placement: at{"pub": {Address: "10.0.0.9"}}}, true},
		{"an address that only half of the caller's control plane could use", at{"half": {}}, manifest.Service{Placement: at{"pub": {Address: "10.0.0.9"}}}, true},
		{"one of several callers is enough", at{"flat": {}, "away": {}}, manifest.Service{Placement: at{"pub": {}}}, true},
		{"local only: nobody comes in", at{"away": {}}, manifest.Service{Spread: manifest.LocalOnly, Placement: at{"pub": {}}}, false},
		{"it runs elsewhere", at{"away": {}}, manifest.Service{Placement: at{"beside": {}}}, false},
		{"a public gateway elsewhere calls it", nil, manifest.Service{Placement: at{"pub": {}}, Expose: &manifest.Expose{Clusters: []string{"public"}}}, true},
		{"by default the public gateways are where it runs", nil, manifest.Service{Placement: at{"pub": {}, "public": {}}, Expose: &manifest.Expose{}}, true},
		{"it is exposed where nothing comes in", nil, manifest.Service{Placement: at{"pub": {}, "private": {}}, Expose: &manifest.Expose{}}, false},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			m := &manifest.Mesh{Clusters: clusters, Services: map[string]manifest.Service{"callee": c.callee, "caller": service("x", c.from, "callee")}}
			v, err := mesh.NewView(m, "pub")
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if c.want {
				want = []string{"callee"}
			}
			if d := cmp.Diff(want, v.Publishes); d != "" {
				t.Errorf("published (-want +got):\n%s", d)
			}
		})
	}
}
