package shard

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

// concerned returns the services that the cluster depends on, sorted: those in its objects, and
// those whose calls it accepts. Errors of other services are reported by other clusters, and by a
// check without a cluster.
func (r *Renderer) concerned(m *Rendering) []string {
	names, services := m.Graph.names, r.Loaded.Services.Good
	if r.Cluster == "" || r.CheckAll {
		return names
	}
	near := map[string]bool{}
	for c := range m.Mesh.Clusters {
		near[c] = mesh.Relate(m.Mesh, r.Cluster, c) != mesh.Gatewayed
	}
	here := make(map[string]bool, len(names))
	for _, name := range names {
		for c := range services[name].Placement {
			if near[c] {
				here[name] = true
				break
			}
		}
	}
	isHere := func(name string) bool { return here[name] }
	concerned := make(map[string]bool, len(names))
	for _, name := range names {
		if here[name] {
			concerned[name] = true
			for _, caller := range m.Graph.callers[name] {
				concerned[caller] = true
			}
			continue
		}
		expose := services[name].Expose
		exposed := expose != nil && slices.ContainsFunc(expose.Clusters, func(c string) bool { return near[c] })
		// Every cluster checks a changed service. Otherwise the cluster that the service leaves
		// could accept a change that the other cluster rejects.
		if exposed || slices.ContainsFunc(m.Graph.callers[name], isHere) || r.Previous.Changed(name, services[name]) {
			concerned[name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !concerned[name] })
}
