package mesh

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Relation is the way in which a caller's cluster reaches a publisher's cluster.
type Relation string

const (
	// Same: caller and publisher run in one cluster.
	Same Relation = "same"
	// Discovered: Istio discovers the publisher's pods. It calls them directly or, on another
	// network, through a gateway that it discovered.
	Discovered Relation = "discovered"
	// Gatewayed: the call goes to addresses in the inventory: gateways, or the address of a
	// placement.
	Gatewayed Relation = "gatewayed"
)

// Relate returns the relation of two clusters. It is symmetric and does not depend on their states.
// Clusters on one network are not discovered unless a control plane watches the other's API server.
func Relate(m *manifest.Mesh, caller, publisher string) Relation {
	switch {
	case caller == publisher:
		return Same
	case discoveryGroup(m, caller) == discoveryGroup(m, publisher):
		return Discovered
	default:
		return Gatewayed
	}
}

// ControlPlane returns the cluster whose control plane configures the proxies of a cluster: the
// primary of a remote cluster, or the cluster itself.
func ControlPlane(m *manifest.Mesh, cluster string) string {
	if cp := m.Clusters[cluster].ControlPlane; cp.Kind == manifest.Remote && cp.Primary != "" {
		return cp.Primary
	}
	return cluster
}

// Configures returns the clusters whose proxies a cluster's control plane configures, sorted: the
// cluster itself and its remote clusters, or none for a remote cluster.
func Configures(m *manifest.Mesh, cluster string) []string {
	if ControlPlane(m, cluster) != cluster {
		return nil
	}
	var configured []string
	for _, c := range slices.Sorted(maps.Keys(m.Clusters)) {
		if ControlPlane(m, c) == cluster {
			configured = append(configured, c)
		}
	}
	return configured
}

// sharesControlPlane reports whether one control plane configures the proxies of a cluster and
// those of other clusters.
func sharesControlPlane(m *manifest.Mesh, cluster string) bool {
	for c := range m.Clusters {
		if c != cluster && ControlPlane(m, c) == ControlPlane(m, cluster) {
			return true
		}
	}
	return false
}

// discoveryGroup returns a unique name of the clusters that discover each other's pods. A remote
// cluster is in the group of its primary. A primary without a group forms one with its remotes.
func discoveryGroup(m *manifest.Mesh, cluster string) string {
	primary := ControlPlane(m, cluster)
	if group := m.Clusters[primary].Discovery; group != "" {
		return "discovery " + group
	}
	return "control plane " + primary
}
