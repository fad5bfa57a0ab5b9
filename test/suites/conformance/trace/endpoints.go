package trace

import (
	"cmp"
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
)

// priorityGroup holds the endpoints of one priority. Their shares add up to 1.
type priorityGroup struct {
	priority  int
	endpoints []endpoint
}

// endpoint is one host of the load balancing.
type endpoint struct {
	address  string
	port     int
	share    float64
	metadata *corev3.Metadata
}

// priorityGroups are the cluster's endpoints by priority, best first, with Envoy's shares while all
// of them are healthy.
func (x *proxy) priorityGroups(c *clusterv3.Cluster) ([]priorityGroup, error) {
	if known, ok := x.groups[c.Name]; ok {
		return known, nil
	}
	if c.GetClusterType() != nil {
		return nil, fmt.Errorf("cluster %s of %s has the unsupported type %s", c.Name, x, c.GetClusterType().Name)
	}
	if c.LbSubsetConfig != nil {
		return nil, fmt.Errorf("cluster %s of %s has an unsupported subset load balancer", c.Name, x)
	}
	byPriority := map[int][]locality{}
	seen := map[string]bool{}
	for _, l := range x.loadAssignment(c).GetEndpoints() {
		hosts, err := localityHosts(c, l, seen)
		if err != nil {
			return nil, fmt.Errorf("cluster %s of %s: %w", c.Name, x, err)
		}
		if len(hosts) > 0 {
			byPriority[int(l.Priority)] = append(byPriority[int(l.Priority)], locality{float64(l.GetLoadBalancingWeight().GetValue()), hosts})
		}
	}
	groups := []priorityGroup{}
	for priority, localities := range byPriority {
		byLocality := c.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil
		if hosts := shares(localities, byLocality, c.LbPolicy == clusterv3.Cluster_RANDOM); len(hosts) > 0 {
			groups = append(groups, priorityGroup{priority, hosts})
		}
	}
	slices.SortFunc(groups, func(a, b priorityGroup) int { return cmp.Compare(a.priority, b.priority) })
	x.groups[c.Name] = groups
	return groups, nil
}

type locality struct {
	weight float64
	hosts  []endpoint
}

// localityHosts are the healthy endpoints of a locality. Their share is still the weight. With EDS
// Envoy keeps only the first endpoint of each address (EdsClusterImpl::BatchUpdateHelper).
func localityHosts(c *clusterv3.Cluster, l *endpointv3.LocalityLbEndpoints, seen map[string]bool) ([]endpoint, error) {
	var hosts []endpoint
	for _, e := range l.LbEndpoints {
		if e.HealthStatus != corev3.HealthStatus_UNKNOWN && e.HealthStatus != corev3.HealthStatus_HEALTHY {
			continue
		}
		socket := e.GetEndpoint().GetAddress().GetSocketAddress()
		if socket == nil {
			return nil, fmt.Errorf("the endpoint %v has no socket address", e.GetEndpoint().GetAddress())
		}
		key := fmt.Sprintf("%s:%d", socket.Address, socket.GetPortValue())
		if c.GetType() == clusterv3.Cluster_EDS && seen[key] {
			continue
		}
		seen[key] = true
		weight := 1.0
		if e.LoadBalancingWeight != nil {
			weight = float64(e.LoadBalancingWeight.Value)
		}
		hosts = append(hosts, endpoint{socket.Address, int(socket.GetPortValue()), weight, e.Metadata})
	}
	return hosts, nil
}

// shares converts weights to shares of 1. byLocality: weighted by locality first. random: all
// endpoints of a locality are equal.
func shares(localities []locality, byLocality, random bool) []endpoint {
	var all []endpoint
	total := 0.0
	for _, l := range localities {
		sum := 0.0
		for i := range l.hosts {
			if random {
				l.hosts[i].share = 1
			}
			sum += l.hosts[i].share
		}
		for _, h := range l.hosts {
			if byLocality {
				// A locality without a weight gets no calls.
				h.share *= l.weight / sum
			}
			total += h.share
			all = append(all, h)
		}
	}
	if total == 0 {
		return nil
	}
	for i := range all {
		all[i].share /= total
	}
	return slices.DeleteFunc(all, func(h endpoint) bool { return h.share == 0 })
}
