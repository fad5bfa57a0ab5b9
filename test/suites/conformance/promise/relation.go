package promise

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// group is the set of clusters whose control planes find each other's pods, by a name of its own.
func group(m repo.Mesh, cluster string) string {
	c := m.Clusters[cluster]
	switch {
	case c.Discovery != "":
		return "discovery " + c.Discovery
	case c.ControlPlane.Kind == "remote":
		return group(m, c.ControlPlane.Primary)
	}
	return "control plane " + cluster
}

// controlPlane is the cluster whose istiod configures a cluster's proxies.
func controlPlane(m repo.Mesh, cluster string) string {
	if c := m.Clusters[cluster].ControlPlane; c.Kind == "remote" {
		return c.Primary
	}
	return cluster
}

// members are the clusters of a cluster's group, itself included, sorted.
func members(m repo.Mesh, cluster string) []string {
	all := []string{}
	for name := range m.Clusters {
		if group(m, name) == group(m, cluster) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func network(m repo.Mesh, cluster string) string {
	if n := m.Clusters[cluster].Network; n != "" {
		return n
	}
	return cluster
}

// path is how a call from a cluster's pod gets to pods of another.
type path struct {
	// gateway: through that of the publisher.
	gateway bool
	// discovered: Istio finds the pods itself, so they come before gateways at the same distance.
	discovered bool
}

func pathTo(m repo.Mesh, from, to string, placement repo.Placement) path {
	sameNetwork := network(m, from) == network(m, to)
	switch {
	case from == to:
		return path{discovered: true}
	case group(m, from) == group(m, to):
		return path{discovered: true, gateway: !sameNetwork}
	case sameNetwork && placement.Address != "":
		return path{}
	}
	return path{gateway: true}
}

// distance of two clusters: 0 the same, 1 in one zone, 2 in one region, 3 farther.
func distance(m repo.Mesh, from, to string) int {
	a, b := m.Clusters[from], m.Clusters[to]
	switch {
	case from == to:
		return 0
	case a.Region != b.Region:
		return 3
	case a.Zone == "" || a.Zone != b.Zone:
		return 2
	}
	return 1
}

// namespace of a service in a cluster.
func namespace(s repo.Service, cluster string) string {
	if b := s.Placement[cluster].Backend; b != nil && b.Namespace != "" {
		return b.Namespace
	}
	return s.Backend.Namespace
}

func serviceAccounts(s repo.Service, cluster string) []string {
	if b := s.Placement[cluster].Backend; b != nil && len(b.ServiceAccounts) > 0 {
		return b.ServiceAccounts
	}
	return s.Backend.ServiceAccounts
}

// kubernetesService is the Service that a backend names instead of pods, "" if it selects pods.
func kubernetesService(s repo.Service, cluster string) string {
	if b := s.Placement[cluster].Backend; b != nil {
		if b.Service != "" {
			return b.Service
		}
		if len(b.Selector) > 0 {
			return ""
		}
	}
	return s.Backend.Service
}

// selector of a service's pods in a cluster. Pods behind a named Kubernetes Service have, by default of the platform, its name as a label.
func selector(s repo.Service, cluster string) map[string]string {
	if name := kubernetesService(s, cluster); name != "" {
		return map[string]string{"app": name}
	}
	labels := map[string]string{}
	for k, v := range s.Backend.Selector {
		labels[k] = v
	}
	if b := s.Placement[cluster].Backend; b != nil {
		for k, v := range b.Selector {
			labels[k] = v
		}
	}
	return labels
}

// versionsAt are the versions that a placement runs, [""] for a service without any.
func versionsAt(s repo.Service, cluster string) []string {
	if len(s.Versions) == 0 {
		return []string{""}
	}
	if listed := s.Placement[cluster].Versions; len(listed) > 0 {
		return slices.Sorted(slices.Values(listed))
	}
	return sortedKeys(s.Versions)
}

func spread(s repo.Service) string {
	if s.Spread != "" {
		return s.Spread
	}
	for _, p := range s.Placement {
		if p.Weight > 0 {
			return "weighted"
		}
	}
	return "nearest"
}

// Hosts of a service.
func hosts(m repo.Mesh, name string) []string {
	if s := m.Services[name]; len(s.Hosts) > 0 {
		return s.Hosts
	}
	return []string{name + "." + m.Services[name].Backend.Namespace + "." + m.Settings.Domain}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
