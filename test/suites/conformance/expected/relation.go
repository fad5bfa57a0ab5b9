package expected

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// group names the set of clusters whose control planes discover each other's pods.
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

// members are the clusters of a cluster's group, including itself, sorted.
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

// relation describes how a call from a pod of one cluster reaches the pods of another one.
type relation struct {
	// gateway: through a gateway of the publisher.
	gateway bool
	// discovered: Istio discovers the pods, so they come before gateways at the same distance.
	discovered bool
}

func relationOf(m repo.Mesh, from, to string, placement repo.Placement) relation {
	sameNetwork := network(m, from) == network(m, to)
	switch {
	case from == to:
		return relation{discovered: true}
	case group(m, from) == group(m, to):
		return relation{discovered: true, gateway: !sameNetwork}
	case sameNetwork && placement.Address != "":
		return relation{}
	}
	return relation{gateway: true}
}

// distance of two clusters: 0 for the same cluster, 1 for the same zone, 2 for the same region,
// else 3.
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

// namespace of a service's pods in a cluster.
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

// kubernetesService is the Service that a backend names, "" if the backend selects pods.
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

// selector of a service's pods in a cluster. [Platform] labels pods behind a named Kubernetes
// Service with the name of the Service.
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

// versionsAt are the versions that a placement runs, [""] for a service without versions.
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

// hosts of a service, the default host if the manifest states none.
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
