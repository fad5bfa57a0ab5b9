package mesh

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Relation is how a caller's cluster reaches a publisher's.
type Relation string

const (
	// Same: caller and publisher run in one cluster.
	Same Relation = "same"
	// Discovered: Istio itself finds the publisher's pods, and goes to them directly or, on another network,
	// by that cluster's gateway.
	Discovered Relation = "discovered"
	// Gatewayed: the call goes to addresses that the inventory gives, those of the publisher's gateways or of
	// its placement.
	Gatewayed Relation = "gatewayed"
)

// Relate tells how a call from one cluster reaches another. It is symmetric, and says nothing of whether the publisher
// takes calls. Being on one network is not enough to be discovered: somebody has to watch the other's API server.
func Relate(m *manifest.Mesh, caller, publisher string) Relation {
	switch {
	case caller == publisher:
		return Same
	case DiscoveryGroup(m, caller) == DiscoveryGroup(m, publisher):
		return Discovered
	default:
		return Gatewayed
	}
}

// ControlPlane is the cluster whose control plane configures the proxies of a cluster: its primary's if it is remote, else
// its own.
func ControlPlane(m *manifest.Mesh, cluster string) string {
	if cp := m.Clusters[cluster].ControlPlane; cp.Kind == manifest.Remote && cp.Primary != "" {
		return cp.Primary
	}
	return cluster
}

// Configures are the clusters whose proxies a cluster's control plane configures, sorted: itself and those that are remote to
// it; none if it is remote itself.
func Configures(m *manifest.Mesh, cluster string) []string {
	if ControlPlane(m, cluster) != cluster {
		return nil
	}
	var ours []string
	for _, c := range slices.Sorted(maps.Keys(m.Clusters)) {
		if ControlPlane(m, c) == cluster {
			ours = append(ours, c)
		}
	}
	return ours
}

// sharesControlPlane tells whether proxies of other clusters are configured together with a cluster's.
func sharesControlPlane(m *manifest.Mesh, cluster string) bool {
	for c := range m.Clusters {
		if c != cluster && ControlPlane(m, c) == ControlPlane(m, cluster) {
			return true
		}
	}
	return false
}

// DiscoveryGroup names the clusters that find each other's pods, in words that no two groups share: a remote cluster is
// always in its primary's, and a primary that is in no group makes one with its remotes.
func DiscoveryGroup(m *manifest.Mesh, cluster string) string {
	primary := ControlPlane(m, cluster)
	if group := m.Clusters[primary].Discovery; group != "" {
		return "discovery " + group
	}
	return "control plane " + primary
}

// Network is the network that a cluster's pods share, by default one of its own.
func Network(m *manifest.Mesh, cluster string) string {
	if network := m.Clusters[cluster].Network; network != "" {
		return network
	}
	return cluster
}

// IstioClusterID is Istio's name of a cluster, as in the label topology.istio.io/cluster.
func IstioClusterID(m *manifest.Mesh, cluster string) string {
	if id := m.Clusters[cluster].IstioClusterID; id != "" {
		return id
	}
	return cluster
}

// throughGateway tells whether a call enters the publisher's cluster by its gateway: not at home, not between pods of one
// network that Istio finds, and not where the placement has an address of its own that the caller's proxies can use.
func throughGateway(m *manifest.Mesh, caller, publisher string, placement manifest.Placement) bool {
	switch Relate(m, caller, publisher) {
	case Same:
		return false
	case Discovered:
		return Network(m, caller) != Network(m, publisher)
	default:
		return placement.Address == "" || !sharesNetwork(m, caller, publisher)
	}
}

// sharesNetwork tells whether all proxies that are configured together with the caller's are on the publisher's network:
// they get one list of addresses.
func sharesNetwork(m *manifest.Mesh, caller, publisher string) bool {
	for c := range m.Clusters {
		if ControlPlane(m, c) == ControlPlane(m, caller) && Network(m, c) != Network(m, publisher) {
			return false
		}
	}
	return true
}
