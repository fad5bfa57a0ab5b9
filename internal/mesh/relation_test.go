package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

func remoteTo(primary string) manifest.ControlPlane {
	return manifest.ControlPlane{Kind: manifest.Remote, Primary: primary}
}

// topologies returns an inventory with all kinds of relations between two clusters.
func topologies() *manifest.Mesh {
	return &manifest.Mesh{Clusters: map[string]manifest.Cluster{
		"alone": {Network: "east"}, "neighbour": {Network: "east"},
		"one": {Discovery: "west", Network: "west"}, "two": {Discovery: "west", Network: "west"}, "far": {Discovery: "west"},
		"satellite": {ControlPlane: remoteTo("one")},
		"primary":   {ControlPlane: manifest.ControlPlane{Kind: manifest.Primary}}, "moon": {ControlPlane: remoteTo("primary")},
		"phobos": {ControlPlane: remoteTo("primary")},
		"north":  {Discovery: "north"},
		// A discovery group with the name of a primary is not the group of that primary.
		"named": {Discovery: "primary"},
	}}
}

func TestRelate(t *testing.T) {
	m := topologies()
	cases := []struct {
		reason            string
		caller, publisher string
		want              mesh.Relation
	}{
		{"a cluster and itself", "alone", "alone", mesh.Same},
		{"a remote cluster and itself", "moon", "moon", mesh.Same},
		{"nothing in common", "alone", "north", mesh.Gatewayed},
		{"one network, but no control plane watches the other's API server", "alone", "neighbour", mesh.Gatewayed},
		{"one discovery group on one network", "one", "two", mesh.Discovered},
		{"one discovery group over two networks", "one", "far", mesh.Discovered},
		{"two discovery groups", "one", "north", mesh.Gatewayed},
		{"a primary and its remote, without a discovery group", "primary", "moon", mesh.Discovered},
		{"two remotes of one primary", "moon", "phobos", mesh.Discovered},
		{"the remote of a primary that is in a group, and that primary", "satellite", "one", mesh.Discovered},
		{"the remote of a primary that is in a group, and the rest of the group", "satellite", "two", mesh.Discovered},
		{"the remotes of two primaries", "satellite", "moon", mesh.Gatewayed},
		{"a discovery group with the name of a primary", "named", "primary", mesh.Gatewayed},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			if got := mesh.Relate(m, c.caller, c.publisher); got != c.want {
				t.Errorf("%s calls %s: got %s, want %s", c.caller, c.publisher, got, c.want)
			}
			if got := mesh.Relate(m, c.publisher, c.caller); got != c.want {
				t.Errorf("reversed, %s calls %s: got %s, want %s", c.publisher, c.caller, got, c.want)
			}
		})
	}
}

func TestPrimaryConfiguresItselfAndItsRemotes(t *testing.T) {
	m := topologies()
	for cluster, want := range map[string][]string{
		"alone": {"alone"}, "one": {"one", "satellite"}, "two": {"two"}, "primary": {"moon", "phobos", "primary"}, "moon": nil,
	} {
		if d := cmp.Diff(want, mesh.Configures(m, cluster)); d != "" {
			t.Errorf("%s (-want +got):\n%s", cluster, d)
		}
		for _, c := range want {
			if got := mesh.ControlPlane(m, c); got != cluster {
				t.Errorf("%s is configured by %s, want %s", c, got, cluster)
			}
		}
	}
}

func TestRemoteIsInTheDiscoveryGroupOfItsPrimary(t *testing.T) {
	m := &manifest.Mesh{Clusters: map[string]manifest.Cluster{
		"primary": {}, "grouped": {Discovery: "g"},
		"a": {ControlPlane: remoteTo("primary"), Discovery: "g"}, "b": {ControlPlane: remoteTo("grouped"), Discovery: "other"},
	}}
	for _, pair := range [][2]string{{"primary", "a"}, {"grouped", "b"}} {
		if got := mesh.Relate(m, pair[0], pair[1]); got != mesh.Discovered {
			t.Errorf("%s and its remote %s are %s", pair[0], pair[1], got)
		}
	}
	if got := mesh.Relate(m, "a", "grouped"); got != mesh.Gatewayed {
		t.Errorf("a remote is in its own discovery group instead of its primary's: %s", got)
	}
}
