package mesh

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// PublicGateway is the caller of what a public gateway lets in. It is no name that a service can have.
const PublicGateway = "public gateway"

// callers are the clusters that a service is called from, by caller: where those run that declare it, and, as
// PublicGateway, where it is let in from outside.
type callers map[string][]string

// callersOf are the callers of every service and external that is called, by callee.
func callersOf(m *manifest.Mesh) map[string]callers {
	of := map[string]callers{}
	add := func(callee, caller string, from []string) {
		if len(from) == 0 {
			return
		}
		if of[callee] == nil {
			of[callee] = callers{}
		}
		of[callee][caller] = from
	}
	for name, s := range m.Services {
		at := slices.Sorted(maps.Keys(s.Placement))
		for callee := range s.Egress {
			add(callee, name, at)
		}
		add(name, PublicGateway, exposedAt(m, s))
	}
	return of
}

// clusters are all that the callers are in, sorted.
func (c callers) clusters() []string {
	all := slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(c))...)))
	return slices.Compact(all)
}

// exposedAt are the clusters whose public gateway lets a service in, sorted.
func exposedAt(m *manifest.Mesh, s manifest.Service) []string {
	if s.Expose == nil {
		return nil
	}
	at := slices.Sorted(slices.Values(s.Expose.Clusters))
	if len(at) == 0 {
		at = slices.Sorted(maps.Keys(s.Placement))
	}
	return only(slices.Compact(at), func(c string) bool { return m.Clusters[c].PublicGateway != nil })
}
