package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// View is the mesh as the control plane of one cluster has to know it. All lists are sorted.
type View struct {
	Cluster string
	// ControlPlane is the cluster whose control plane configures this one's proxies: itself, or its primary if it is
	// remote. Then all that follows is in the primary's view, and this one has no Clusters, Runs, Publishes and Calls: nothing
	// is rendered for it.
	ControlPlane string
	// Clusters are those whose proxies are configured from here: this one and those that are remote to it.
	Clusters []string
	// UID is what the inventory says of the cluster's identity, "" for nothing.
	UID string
	// Gateways are the addresses at which other clusters reach this one.
	Gateways []manifest.Gateway
	// Runs are the services placed in any of Clusters.
	Runs []string
	// Publishes are the services that are called through a gateway of Clusters: those that run there, and those of
	// clusters of the discovery group that share a network with one of them, where the group spans several.
	Publishes []string
	// Calls are the declared calls of services that run in any of Clusters, and those that their public gateways let in.
	Calls []Call
	// NamespaceLabels are for namespaces that the cluster lacks.
	NamespaceLabels map[string]string
	// Acknowledged are the digests of held changes that the repository lets pass.
	Acknowledged []string
}

// Call is one declared call from one cluster.
type Call struct {
	// From is the caller's cluster: the view's, or one that is remote to it.
	From string
	// Caller is a service, or PublicGateway.
	Caller, Callee string
	// External is set if the callee is outside the mesh.
	External bool
	// Publishers are the clusters that take the call, by their relation to From; none if nobody does.
	Publishers map[Relation][]string
}

// Remote tells whether the cluster's proxies are configured by another cluster's control plane.
func (v *View) Remote() bool { return v.ControlPlane != v.Cluster }

// NewView is the view of a cluster. A cluster that is not in the inventory is a Findings error.
func NewView(m *manifest.Mesh, cluster string) (*View, error) {
	c, ok := m.Clusters[cluster]
	if !ok {
		return nil, manifest.Findings{{
			Path:    "clusters." + cluster,
			Message: fmt.Sprintf("cluster %s is not in the inventory: it has %s", cluster, strings.Join(slices.Sorted(maps.Keys(m.Clusters)), ", ")),
		}}
	}
	v := &View{
		Cluster:         cluster,
		ControlPlane:    ControlPlane(m, cluster),
		Clusters:        Configures(m, cluster),
		UID:             c.UID,
		Gateways:        c.Gateways,
		NamespaceLabels: m.Settings.NamespaceLabels,
		Acknowledged:    m.Settings.Acknowledge,
	}
	called := callersOf(m)
	near := beside(m, v.Clusters)
	for _, name := range slices.Sorted(maps.Keys(m.Services)) {
		s := m.Services[name]
		runs := func(c string) bool { _, placed := s.Placement[c]; return placed }
		here := slices.ContainsFunc(v.Clusters, runs)
		if here {
			v.Runs = append(v.Runs, name)
		}
		if !here && !slices.ContainsFunc(near, runs) {
			continue
		}
		if published(m, s, v.Clusters, near, called[name].clusters()) {
			v.Publishes = append(v.Publishes, name)
		}
	}
	v.Calls = calls(m, v.Clusters, called)
	return v, nil
}

// calls are those from the given clusters, sorted by caller, callee and cluster.
func calls(m *manifest.Mesh, ours []string, called map[string]callers) []Call {
	var out []Call
	for callee, by := range called {
		_, inMesh := m.Services[callee]
		for caller, from := range by {
			for _, c := range from {
				if slices.Contains(ours, c) {
					out = append(out, Call{From: c, Caller: caller, Callee: callee, External: !inMesh, Publishers: Publishers(m, c, callee)})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Call) int {
		return slices.Compare([]string{a.Caller, a.Callee, a.From}, []string{b.Caller, b.Callee, b.From})
	})
	return out
}
