package mesh

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Publishers are the clusters that take calls of a service from one cluster, by relation and sorted; none if nobody does, or the
// callee is no service of the mesh.
//
// Other clusters take calls while they are active; the own pods always do. Proxies of several clusters that share a control plane
// share their configuration, so there "own" cannot be said: those of them that are active take calls, and those that are not down, or
// the primary, if nobody else does either.
func Publishers(m *manifest.Mesh, from, callee string) map[Relation][]string {
	out := map[Relation][]string{}
	for _, at := range takers(m, from, m.Services[callee]) {
		r := Relate(m, from, at)
		out[r] = append(out[r], at)
	}
	return out
}

func takers(m *manifest.Mesh, from string, s manifest.Service) []string {
	placed := slices.Sorted(maps.Keys(s.Placement))
	if s.Spread == manifest.LocalOnly {
		return only(placed, func(at string) bool { return at == from })
	}
	taking := only(placed, func(at string) bool {
		return m.Clusters[at].State == manifest.Active || at == from && !sharesControlPlane(m, from)
	})
	if len(taking) > 0 {
		return taking
	}
	return only(placed, func(at string) bool {
		ours := ControlPlane(m, from)
		return ControlPlane(m, at) == ours && (at == ours || m.Clusters[at].State != "down")
	})
}

func only(clusters []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(clusters), func(c string) bool { return !keep(c) })
}

// beside are the clusters of the same discovery group that share a network with ours: where a group spans networks, Istio enters
// one by any of its gateways, so ours have to know what runs in them.
func beside(m *manifest.Mesh, ours []string) []string {
	var out []string
	for c := range m.Clusters {
		if !slices.Contains(ours, c) && slices.ContainsFunc(ours, func(o string) bool {
			return Relate(m, o, c) == Discovered && Network(m, o) == Network(m, c)
		}) {
			out = append(out, c)
		}
	}
	return out
}

// published tells whether a service is called through our gateways by one of the clusters from; near are those beside ours.
// Whatever the callers' states, and its own: they may not have heard of it yet. Pods of a remote cluster that is down are not
// offered at the gateway of its primary.
func published(m *manifest.Mesh, s manifest.Service, ours, near, from []string) bool {
	if s.Spread == manifest.LocalOnly {
		return false
	}
	for _, at := range near {
		_, runs := s.Placement[at]
		if runs && m.Clusters[at].State == "active" && slices.ContainsFunc(from, func(c string) bool {
			return Relate(m, c, at) == Discovered && Network(m, c) != Network(m, at)
		}) {
			return true
		}
	}
	for _, at := range ours {
		placement, runs := s.Placement[at]
		gone := m.Clusters[at].State == "down" && ControlPlane(m, at) != at
		if runs && !gone && slices.ContainsFunc(from, func(c string) bool { return throughGateway(m, c, at, placement) }) {
			return true
		}
	}
	return false
}
