package mesh

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Publishers returns the clusters that accept calls of a service from one cluster, sorted, by their
// relation to it. It is empty for externals and unknown services.
//
// Clusters accept calls while they are active. A cluster always accepts calls from itself, unless
// it shares its control plane: all proxies of a control plane get the same configuration, so it has
// no "calls from itself". If no other cluster accepts calls, the clusters of the caller's control
// plane do: the primary, and the remote clusters that are not down.
func Publishers(m *manifest.Mesh, from, callee string) map[Relation][]string {
	out := map[Relation][]string{}
	for _, at := range accepting(m, from, m.Services[callee]) {
		r := Relate(m, from, at)
		out[r] = append(out[r], at)
	}
	return out
}

func accepting(m *manifest.Mesh, from string, s manifest.Service) []string {
	placed := slices.Sorted(maps.Keys(s.Placement))
	if s.Spread == manifest.LocalOnly {
		return only(placed, func(at string) bool { return at == from })
	}
	accept := only(placed, func(at string) bool {
		return m.Clusters[at].State == manifest.Active || at == from && !sharesControlPlane(m, from)
	})
	if len(accept) > 0 {
		return accept
	}
	return only(placed, func(at string) bool {
		primary := ControlPlane(m, from)
		return ControlPlane(m, at) == primary && (at == primary || m.Clusters[at].State != manifest.Down)
	})
}

func only(clusters []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(clusters), func(c string) bool { return !keep(c) })
}
