package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// PublicGateway is the Caller of calls that a public gateway accepts. No service can have this
// name.
const PublicGateway = "public gateway"

// View holds the data of the mesh that one cluster needs. All lists are sorted.
type View struct {
	Cluster string
	// ControlPlane is the cluster whose control plane configures the proxies of Cluster. In a
	// remote cluster it is the primary: Runs and Calls are empty there, and the primary's view has
	// them.
	ControlPlane string
	// UID of the cluster in the inventory, "" if not set.
	UID string
	// Gateways are the addresses at which other clusters reach this cluster.
	Gateways []manifest.Gateway
	// Runs are the services that run in this cluster or in its remote clusters.
	Runs []string
	// Calls are the declared calls of Runs and the calls that the public gateways of these clusters
	// accept.
	Calls []Call
	// NamespaceLabels are the labels of the namespaces that Isthmus creates.
	NamespaceLabels map[string]string
	// Acknowledged are the digests of held plans that the repository acknowledges.
	Acknowledged []string
}

// Call is a declared call.
type Call struct {
	// Caller is a service, or PublicGateway. Callee is a service or an external.
	Caller, Callee string
}

// NewView returns the view of a cluster. If the cluster is not in the inventory, the error is a
// finding with the code manifest.UnknownCluster.
func NewView(m *manifest.Mesh, cluster string) (*View, error) {
	c, ok := m.Clusters[cluster]
	if !ok {
		return nil, manifest.Findings{{
			Code: manifest.UnknownCluster,
			Path: "clusters." + cluster,
			Message: fmt.Sprintf("cluster %s is not in the inventory: the inventory has %s",
				cluster, strings.Join(slices.Sorted(maps.Keys(m.Clusters)), ", ")),
		}}
	}
	v := &View{
		Cluster:         cluster,
		ControlPlane:    ControlPlane(m, cluster),
		UID:             c.UID,
		Gateways:        c.Gateways,
		NamespaceLabels: m.Settings.NamespaceLabels,
		Acknowledged:    m.Settings.Acknowledge,
	}
	configured := Configures(m, cluster)
	for _, name := range slices.Sorted(maps.Keys(m.Services)) {
		s := m.Services[name]
		if slices.ContainsFunc(configured, func(c string) bool { _, placed := s.Placement[c]; return placed }) {
			v.Runs = append(v.Runs, name)
			for callee := range s.Egress {
				v.Calls = append(v.Calls, Call{Caller: name, Callee: callee})
			}
		}
		if slices.ContainsFunc(configured, func(c string) bool { return exposedIn(m, s, c) }) {
			v.Calls = append(v.Calls, Call{Caller: PublicGateway, Callee: name})
		}
	}
	slices.SortFunc(v.Calls, func(a, b Call) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Callee, b.Callee))
	})
	return v, nil
}

// exposedIn reports whether the public gateway of a cluster publishes a service.
func exposedIn(m *manifest.Mesh, s manifest.Service, cluster string) bool {
	if s.Expose == nil || m.Clusters[cluster].PublicGateway == nil {
		return false
	}
	_, placed := s.Placement[cluster]
	return slices.Contains(s.Expose.Clusters, cluster) || len(s.Expose.Clusters) == 0 && placed
}
