package expected

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

// Destination receives a share of the calls. The first priority receives all of them while it has
// an endpoint that is up, then the next one.
type Destination struct {
	// Share of the calls, 0 to 1.
	Share      float64
	Priorities []Priority
}

// Priority is a set of paths that are used at the same time.
type Priority struct {
	Paths []Path
	// Weighted: each path must have its Share. Otherwise each path must have some calls.
	Weighted bool
}

// Path leads to the pods of one cluster.
type Path struct {
	Cluster string
	// Pods must each get some calls.
	Pods  []string
	Share float64
	// Port of the pods.
	Port int
	// Gateways are clusters. The path leads through the gateway of one of them. It is empty for a
	// path from pod to pod.
	Gateways []string
	SNI      string
}

// callTarget is the part of a service that a call is for.
type callTarget struct {
	service string
	host    string
	port    repo.Port
	version string // "" for every version
	cluster string // "" for every cluster
}

// oracle computes the expected result of calls from the manifests and the platform.
type oracle struct {
	repo.Mesh

	scenario scenario.Scenario
}

// destination lists the priorities for calls from a cluster.
func (o oracle) destination(from string, target callTarget, share float64) Destination {
	s := o.Services[target.service]
	type candidate struct {
		path   Path
		rank   [4]int
		weight int
	}
	candidates := []candidate{}
	for _, cluster := range sortedKeys(s.Placement) {
		path, usable := o.pathTo(from, cluster, target)
		if !usable {
			continue
		}
		placement := s.Placement[cluster]
		candidates = append(candidates, candidate{path: path, rank: o.rank(from, cluster, s), weight: max(placement.Weight, 1)})
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return slices.Compare(a.rank[:], b.rank[:]) })

	out := Destination{Share: share}
	for len(candidates) > 0 {
		n, total := 0, 0
		for n < len(candidates) && candidates[n].rank == candidates[0].rank {
			total += candidates[n].weight
			n++
		}
		priority := Priority{Weighted: spread(s) == "weighted"}
		for _, c := range candidates[:n] {
			c.path.Share = share * float64(c.weight) / float64(total)
			priority.Paths = append(priority.Paths, c.path)
		}
		out.Priorities = append(out.Priorities, priority)
		candidates = candidates[n:]
	}
	return out
}

// pathTo is the path to one cluster. It is false if no ready pod can be reached.
func (o oracle) pathTo(from, to string, target callTarget) (Path, bool) {
	s := o.Services[target.service]
	placement := s.Placement[to]
	switch {
	case target.cluster != "" && target.cluster != to:
		return Path{}, false
	case target.version != "" && !slices.Contains(versionsAt(s, to), target.version):
		return Path{}, false
	case from != to && spread(s) == "local-only", !o.acceptsCalls(from, to, s):
		return Path{}, false
	}
	path := Path{Cluster: to, Port: podPort(s, to, target.port)}
	if relationOf(o.Mesh, from, to, placement).gateway {
		path.SNI = o.sni(target)
		path.Gateways = o.entryGateways(from, to)
		if !slices.ContainsFunc(path.Gateways, func(c string) bool { return !o.gatewayUnreachable(c) }) {
			return Path{}, false
		}
	}
	for _, pod := range o.scenario.Pods {
		if pod.Cluster == to && pod.Ready && o.isBackend(pod, target) {
			path.Pods = append(path.Pods, pod.Name)
		}
	}
	slices.Sort(path.Pods)
	return path, len(path.Pods) > 0
}

// acceptsCalls reports whether a cluster accepts calls from another one. An active cluster does,
// and every cluster accepts the calls of its own pods.
//
// Clusters that share a control plane have the same configuration. An inactive one of them is left
// out for all callers. If no placement is active, all of them accept calls again, except for a
// remote cluster that is down.
func (o oracle) acceptsCalls(from, to string, s repo.Service) bool {
	switch {
	case o.Clusters[to].State == "active":
		return true
	case controlPlane(o.Mesh, from) != controlPlane(o.Mesh, to):
		return false
	case !o.sharesControlPlane(to), spread(s) == "local-only":
		return from == to
	case o.Clusters[to].State == "down" && controlPlane(o.Mesh, to) != to:
		return false
	}
	for other := range s.Placement {
		if o.Clusters[other].State == "active" {
			return false
		}
	}
	return true
}

// sharesControlPlane reports whether a cluster's control plane configures other clusters as well.
func (o oracle) sharesControlPlane(cluster string) bool {
	for other := range o.Clusters {
		if other != cluster && controlPlane(o.Mesh, other) == controlPlane(o.Mesh, cluster) {
			return true
		}
	}
	return false
}

// entryGateways are the clusters whose gateways a call may pass. Istio enters a discovered network
// through any gateway of that network.
func (o oracle) entryGateways(from, to string) []string {
	if len(o.Clusters[to].Gateways) > 0 && group(o.Mesh, from) != group(o.Mesh, to) {
		return []string{to}
	}
	all := []string{}
	for _, c := range members(o.Mesh, to) {
		if group(o.Mesh, from) == group(o.Mesh, to) && network(o.Mesh, c) == network(o.Mesh, to) && len(o.Clusters[c].Gateways) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// sni is the server name at the gateway. It ends with the export suffix, except for Kubernetes
// names, which Istio routes itself.
func (o oracle) sni(target callTarget) string {
	if strings.HasSuffix(target.host, ".svc.cluster.local") {
		return fmt.Sprintf("outbound_.%d_.%s_.%s", target.port.Port, target.version, target.host)
	}
	return fmt.Sprintf("outbound_.%d_.%s_.%s.%s", target.port.Port, target.version, target.host, o.Settings.ExportSuffix)
}

// isBackend reports by namespace and labels whether a pod runs the service and the version.
func (o oracle) isBackend(pod scenario.Pod, target callTarget) bool {
	s := o.Services[target.service]
	if pod.Namespace != namespace(s, pod.Cluster) {
		return false
	}
	labels := maps.Clone(selector(s, pod.Cluster))
	maps.Copy(labels, s.Versions[target.version].Labels)
	for k, v := range labels {
		if pod.Labels[k] != v {
			return false
		}
	}
	return true
}

// rank orders the clusters that accept a call:
//   - A standby comes after active clusters.
//   - Then by distance. With weights only the own cluster and other clusters are distinguished.
//   - Discovered pods come before gateways at the same distance. If Istio discovers pods on other
//     networks, they come before all gateways.
func (o oracle) rank(from, to string, s repo.Service) [4]int {
	standby, gateway := 0, 0
	if s.Placement[to].Standby {
		standby = 1
	}
	relation, far := relationOf(o.Mesh, from, to, s.Placement[to]), distance(o.Mesh, from, to)
	if !relation.discovered {
		// Clusters that share a control plane get one list, ordered as seen from its cluster.
		gateway, far = 1, distance(o.Mesh, controlPlane(o.Mesh, from), to)
	}
	switch {
	case o.hasNamedGateway(from, s):
		return o.rankWithNamedGateway(from, to, s)
	case spread(s) == "weighted" && from == to:
		return [4]int{standby}
	case spread(s) == "weighted":
		return [4]int{standby, 1}
	case from == to:
		return [4]int{standby}
	case o.spansNetworks(from, s) && relation.discovered:
		return [4]int{standby, 1, far}
	case o.spansNetworks(from, s):
		return [4]int{standby, 2, far}
	}
	return [4]int{standby, far, gateway}
}

// spansNetworks reports whether Istio discovers pods of the service on another network than that of
// some proxy with the caller's configuration.
func (o oracle) spansNetworks(from string, s repo.Service) bool {
	for to := range s.Placement {
		if !o.acceptsCalls(from, to, s) || group(o.Mesh, from) != group(o.Mesh, to) {
			continue
		}
		for c := range o.Clusters {
			if controlPlane(o.Mesh, c) == controlPlane(o.Mesh, from) && network(o.Mesh, c) != network(o.Mesh, to) {
				return true
			}
		}
	}
	return false
}

// hasNamedGateway reports whether a gateway with a host name is an endpoint of the same host as
// local pods or versions. Istio then orders by locality only, with two steps after the local pods
// (https://github.com/istio/istio/issues/61857).
func (o oracle) hasNamedGateway(from string, s repo.Service) bool {
	if _, here := s.Placement[from]; !here && len(s.Versions) == 0 || here && kubernetesService(s, from) != "" {
		return false
	}
	for to, placement := range s.Placement {
		relation := relationOf(o.Mesh, from, to, placement)
		if o.Clusters[to].State != "active" || relation.discovered || !relation.gateway {
			continue // Gateways that Istio discovers do not come from the inventory.
		}
		if slices.ContainsFunc(o.Clusters[to].Gateways, func(g repo.Gateway) bool { return !isIP(g.Address) }) {
			return true
		}
	}
	return false
}

// rankWithNamedGateway is 0 for local pods, 1 for near clusters (for all active ones if there is a
// standby), 2 for the others.
func (o oracle) rankWithNamedGateway(from, to string, s repo.Service) [4]int {
	standby := false
	for other, placement := range s.Placement {
		standby = standby || placement.Standby && other != from && o.Clusters[other].State == "active"
	}
	switch {
	case from == to:
		return [4]int{0}
	case s.Placement[to].Standby, !standby && spread(s) != "weighted" && distance(o.Mesh, from, to) == 3:
		return [4]int{2}
	}
	return [4]int{1}
}

func isIP(address string) bool {
	_, err := netip.ParseAddr(address)
	return err == nil
}

func (o oracle) gatewayUnreachable(cluster string) bool {
	return slices.ContainsFunc(o.scenario.Clusters, func(c scenario.Cluster) bool { return c.Name == cluster && c.GatewayUnreachable })
}
