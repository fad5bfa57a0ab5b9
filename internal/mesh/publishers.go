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
// share their configuration, so there "own" cannot be said: those of them that are active take calls, and all of them if nobody else
// does either.
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
	return only(placed, func(at string) bool { return ControlPlane(m, at) == ControlPlane(m, from) })
}

func only(clusters []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(clusters), func(c string) bool { return !keep(c) })
}

// published tells whether a service is called through the gateway of a cluster that it runs in, by one of the clusters from.
// Whatever the callers' states, and its own: they may not have heard of it yet. Pods of a remote cluster that is down are not
// offered at the gateway of its primary.
func published(m *manifest.Mesh, s manifest.Service, ours, from []string) bool {
	if s.Spread == manifest.LocalOnly {
		return false
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
