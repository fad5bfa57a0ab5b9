package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Relation is how a caller's cluster reaches a publisher's.
type Relation string

const (
	// Same: caller and publisher run in one cluster.
	Same Relation = "same"
	// Gatewayed: the call goes through the publisher's gateways.
	Gatewayed Relation = "gatewayed"
)

// View is the mesh as one cluster has to know it. All lists are sorted.
type View struct {
	Cluster string
	// UID is what the inventory says of the cluster's identity, "" for nothing.
	UID string
	// Runs are the services placed here.
	Runs []string
	// Publishes are those of them that are called from other clusters.
	Publishes []string
	// Calls are the declared calls of services that run here.
	Calls []Call
	// NamespaceLabels are for namespaces that the cluster lacks.
	NamespaceLabels map[string]string
	// Acknowledged are the digests of held changes that the repository lets pass.
	Acknowledged []string
}

// Call is one declared call.
type Call struct {
	Caller, Callee string
	// External is set if the callee is outside the mesh.
	External bool
	// Publishers are the clusters that take the call, by relation: this one ("same") where the callee runs
	// here, and every active other one ("gatewayed").
	Publishers map[Relation][]string
}

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
		UID:             c.UID,
		NamespaceLabels: m.Settings.NamespaceLabels,
		Acknowledged:    m.Settings.Acknowledge,
	}
	calledFromElsewhere := map[string]struct{}{}
	for _, name := range slices.Sorted(maps.Keys(m.Services)) {
		s := m.Services[name]
		_, here := s.Placement[cluster]
		elsewhere := runsElsewhere(s.Placement, cluster)
		if here {
			v.Runs = append(v.Runs, name)
		}
		for _, callee := range slices.Sorted(maps.Keys(s.Egress)) {
			if elsewhere {
				calledFromElsewhere[callee] = struct{}{}
			}
			if !here {
				continue
			}
			v.Calls = append(v.Calls, newCall(m, cluster, name, callee))
		}
	}
	for _, name := range v.Runs {
		if _, called := calledFromElsewhere[name]; called {
			v.Publishes = append(v.Publishes, name)
		}
	}
	return v, nil
}

func newCall(m *manifest.Mesh, cluster, caller, callee string) Call {
	s, inMesh := m.Services[callee]
	call := Call{Caller: caller, Callee: callee, External: !inMesh, Publishers: map[Relation][]string{}}
	for _, at := range slices.Sorted(maps.Keys(s.Placement)) {
		switch {
		case at == cluster:
			call.Publishers[Same] = append(call.Publishers[Same], at)
		case m.Clusters[at].State == "active":
			call.Publishers[Gatewayed] = append(call.Publishers[Gatewayed], at)
		}
	}
	return call
}

// runsElsewhere tells whether a placement names any other cluster.
func runsElsewhere(placement map[string]manifest.Placement, cluster string) bool {
	for at := range placement {
		if at != cluster {
			return true
		}
	}
	return false
}
