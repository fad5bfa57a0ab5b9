package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

type publishers = map[mesh.Relation][]string

func TestPublishers(t *testing.T) {
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
		want   publishers
	}{
		{"no placement", "home", "", at{}, publishers{}},
		{"own pods and other clusters", "home", "", at{"home": {}, "twin": {}}, publishers{mesh.Same: {"home"}, mesh.Gatewayed: {"twin"}}},
		{"other clusters only while they are active", "home", "", at{"leaving": {}, "dark": {}}, publishers{}},
		{"a draining cluster calls its own pods", "leaving", "", at{"leaving": {}, "home": {}}, publishers{mesh.Same: {"leaving"}, mesh.Gatewayed: {"home"}}},
		{"a cluster that is down calls its own pods", "dark", "", at{"dark": {}}, publishers{mesh.Same: {"dark"}}},
		{"standby clusters accept calls", "home", "", at{"home": {Standby: true}, "twin": {Standby: true}}, publishers{mesh.Same: {"home"}, mesh.Gatewayed: {"twin"}}},
		{
			"a discovery group and gateways", "twin", manifest.Nearest,
			at{"twin": {}, "twin2": {}, "home": {}},
			publishers{mesh.Same: {"twin"}, mesh.Discovered: {"twin2"}, mesh.Gatewayed: {"home"}},
		},
		{"a discovery group without its draining clusters", "twin", "", at{"twin2": {}, "twin3": {}}, publishers{mesh.Discovered: {"twin2"}}},
		{"a draining cluster of a discovery group calls its own pods", "twin3", "", at{"twin2": {}, "twin3": {}}, publishers{mesh.Same: {"twin3"}, mesh.Discovered: {"twin2"}}},
		{
			"weights do not change the publishers", "home", manifest.Weighted,
			at{"home": {Weight: 1}, "twin": {Weight: 2}},
			publishers{mesh.Same: {"home"}, mesh.Gatewayed: {"twin"}},
		},
		{"local only: own pods", "home", manifest.LocalOnly, at{"home": {}, "twin": {}}, publishers{mesh.Same: {"home"}}},
		{"local only: not pods of the discovery group", "twin", manifest.LocalOnly, at{"twin2": {}}, publishers{}},
		{"local only: not pods of another cluster of the control plane", "primary", manifest.LocalOnly, at{"moon": {}}, publishers{}},
		{"local only: own pods even while draining", "primary", manifest.LocalOnly, at{"primary": {}, "moon": {}}, publishers{mesh.Same: {"primary"}}},
		{"a remote cluster's own pods", "moon", "", at{"moon": {}, "home": {}}, publishers{mesh.Same: {"moon"}, mesh.Gatewayed: {"home"}}},
		{"a shared control plane: a draining cluster accepts no calls from the other", "primary", "", at{"primary": {}, "moon": {}}, publishers{mesh.Discovered: {"moon"}}},
		{"a shared control plane, and a publisher elsewhere", "primary", "", at{"primary": {}, "home": {}}, publishers{mesh.Gatewayed: {"home"}}},
		{
			"a shared control plane without an active publisher: its clusters that are not down accept calls", "tired", "",
			at{"tired": {}, "asleep": {}, "leaving": {}},
			publishers{mesh.Same: {"tired"}},
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

func TestExternalsHaveNoPublishers(t *testing.T) {
	m := &manifest.Mesh{Clusters: map[string]manifest.Cluster{"a": {State: manifest.Active}}, Externals: map[string]manifest.External{"stripe": {}}}
	if got := mesh.Publishers(m, "a", "stripe"); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}
