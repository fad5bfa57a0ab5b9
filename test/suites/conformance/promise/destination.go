package promise

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// Destination is where a part of the calls goes: to the first tier while anything in it lives, then to the next.
type Destination struct {
	// Share of the calls, 0 to 1.
	Share float64
	Tiers []Tier
}

// Tier is a set of ways that are alike.
type Tier struct {
	Ways []Way
	// Weighted: the shares of the ways are promised. Otherwise each gets some.
	Weighted bool
}

// Way is to the pods of one cluster.
type Way struct {
	Cluster string
	// Pods that get calls, all of them some.
	Pods  []string
	Share float64
	// Port of the pods.
	Port int
	// Gateways are the clusters through any one of which the way leads, none for straight to the pods.
	Gateways []string
	SNI      string
}

// wanted is a part of a service that a call is for.
type wanted struct {
	service string
	host    string
	port    repo.Port
	version string // "" for all
	cluster string // "" for all
}

// planet is everything a promise is computed from.
type planet struct {
	repo.Mesh

	world world.World
}

// destination lists the tiers for calls from a cluster.
func (p planet) destination(from string, want wanted, share float64) Destination {
	s := p.Services[want.service]
	type candidate struct {
		way    Way
		rank   [4]int
		weight int
	}
	candidates := []candidate{}
	for _, cluster := range sortedKeys(s.Placement) {
		way, lives := p.way(from, cluster, want)
		if !lives {
			continue
		}
		placement := s.Placement[cluster]
		candidates = append(candidates, candidate{way: way, rank: p.rank(from, cluster, s), weight: max(placement.Weight, 1)})
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return slices.Compare(a.rank[:], b.rank[:]) })

	out := Destination{Share: share}
	for len(candidates) > 0 {
		n, total := 0, 0
		for n < len(candidates) && candidates[n].rank == candidates[0].rank {
			total += candidates[n].weight
			n++
		}
		tier := Tier{Weighted: spread(s) == "weighted"}
		for _, c := range candidates[:n] {
			c.way.Share = share * float64(c.weight) / float64(total)
			tier.Ways = append(tier.Ways, c.way)
		}
		out.Tiers = append(out.Tiers, tier)
		candidates = candidates[n:]
	}
	return out
}

// way to one cluster, and whether anything lives at its end.
func (p planet) way(from, to string, want wanted) (Way, bool) {
	s := p.Services[want.service]
	placement := s.Placement[to]
	switch {
	case want.cluster != "" && want.cluster != to:
		return Way{}, false
	case want.version != "" && !slices.Contains(versionsAt(s, to), want.version):
		return Way{}, false
	case from != to && spread(s) == "local-only", !p.takes(from, to, s):
		return Way{}, false
	}
	way := Way{Cluster: to, Port: podPort(s, to, want.port)}
	if pathTo(p.Mesh, from, to, placement).gateway {
		way.SNI = p.sni(want)
		way.Gateways = p.entrances(from, to)
		if !slices.ContainsFunc(way.Gateways, func(c string) bool { return !p.unreachable(c) }) {
			return Way{}, false
		}
	}
	for _, pod := range p.world.Pods {
		if pod.Cluster == to && pod.Ready && p.serves(pod, want) {
			way.Pods = append(way.Pods, pod.Name)
		}
	}
	slices.Sort(way.Pods)
	return way, len(way.Pods) > 0
}

// takes tells whether a cluster takes calls from another: an active one does, and one is always at home for its own pods. Clusters that share a control
// plane have the same configuration, so there nobody can be kept out but all, and all come back if nobody else is active, but for a remote that is down.
func (p planet) takes(from, to string, s repo.Service) bool {
	switch {
	case p.Clusters[to].State == "active":
		return true
	case controlPlane(p.Mesh, from) != controlPlane(p.Mesh, to):
		return false
	case !p.sharesControlPlane(to), spread(s) == "local-only":
		return from == to
	case p.Clusters[to].State == "down" && controlPlane(p.Mesh, to) != to:
		return false
	}
	for other := range s.Placement {
		if p.Clusters[other].State == "active" {
			return false
		}
	}
	return true
}

// sharesControlPlane tells whether a cluster's control plane configures others as well.
func (p planet) sharesControlPlane(cluster string) bool {
	for other := range p.Clusters {
		if other != cluster && controlPlane(p.Mesh, other) == controlPlane(p.Mesh, cluster) {
			return true
		}
	}
	return false
}

// entrances are the clusters by whose gateways a call may come in: Istio enters a network that it discovered by any gateway of it.
func (p planet) entrances(from, to string) []string {
	if len(p.Clusters[to].Gateways) > 0 && group(p.Mesh, from) != group(p.Mesh, to) {
		return []string{to}
	}
	all := []string{}
	for _, c := range members(p.Mesh, to) {
		if group(p.Mesh, from) == group(p.Mesh, to) && network(p.Mesh, c) == network(p.Mesh, to) && len(p.Clusters[c].Gateways) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// sni that a gateway is asked for: of a reserved name, except for Kubernetes' own, which Istio carries itself.
func (p planet) sni(want wanted) string {
	if strings.HasSuffix(want.host, ".svc.cluster.local") {
		return fmt.Sprintf("outbound_.%d_.%s_.%s", want.port.Port, want.version, want.host)
	}
	return fmt.Sprintf("outbound_.%d_.%s_.%s.%s", want.port.Port, want.version, want.host, p.Settings.ExportSuffix)
}

// serves tells by labels whether a pod is one of the service's, and of the version.
func (p planet) serves(pod world.Pod, want wanted) bool {
	s := p.Services[want.service]
	if pod.Namespace != namespace(s, pod.Cluster) {
		return false
	}
	labels := maps.Clone(selector(s, pod.Cluster))
	maps.Copy(labels, s.Versions[want.version].Labels)
	for k, v := range labels {
		if pod.Labels[k] != v {
			return false
		}
	}
	return true
}

// rank orders the clusters that take a call: standby after active ones, then by distance (none but own and other where weights decide), then
// pods that Istio finds itself before gateways: at the same distance, or, where it finds some on other networks, all of them.
func (p planet) rank(from, to string, s repo.Service) [4]int {
	standby, gateway := 0, 0
	if s.Placement[to].Standby {
		standby = 1
	}
	way, far := pathTo(p.Mesh, from, to, s.Placement[to]), distance(p.Mesh, from, to)
	if !way.discovered {
		// All that share a control plane get one list, as seen from its cluster.
		gateway, far = 1, distance(p.Mesh, controlPlane(p.Mesh, from), to)
	}
	switch {
	case p.byName(from, s):
		return p.rankByName(from, to, s)
	case spread(s) == "weighted" && from == to:
		return [4]int{standby}
	case spread(s) == "weighted":
		return [4]int{standby, 1}
	case from == to:
		return [4]int{standby}
	case p.spanning(from, s) && way.discovered:
		return [4]int{standby, 1, far}
	case p.spanning(from, s):
		return [4]int{standby, 2, far}
	}
	return [4]int{standby, far, gateway}
}

// spanning tells whether Istio finds pods of the service that are on another network than some proxy with the caller's configuration.
func (p planet) spanning(from string, s repo.Service) bool {
	for to := range s.Placement {
		if !p.takes(from, to, s) || group(p.Mesh, from) != group(p.Mesh, to) {
			continue
		}
		for c := range p.Clusters {
			if controlPlane(p.Mesh, c) == controlPlane(p.Mesh, from) && network(p.Mesh, c) != network(p.Mesh, to) {
				return true
			}
		}
	}
	return false
}

// byName tells whether local pods, or versions, share a host with a gateway that has a name. Istio then orders by locality alone, and knows two steps behind the
// pods (https://github.com/istio/istio/issues/61857).
func (p planet) byName(from string, s repo.Service) bool {
	if _, here := s.Placement[from]; !here && len(s.Versions) == 0 || here && kubernetesService(s, from) != "" {
		return false
	}
	for to, placement := range s.Placement {
		way := pathTo(p.Mesh, from, to, placement)
		if p.Clusters[to].State != "active" || way.discovered || !way.gateway {
			continue // Gateways that Istio finds itself are none of the inventory's.
		}
		if slices.ContainsFunc(p.Clusters[to].Gateways, func(g repo.Gateway) bool { return !isIP(g.Address) }) {
			return true
		}
	}
	return false
}

// rankByName is one of three: own pods; then those that are near, or, beside a standby, all that are active; then the rest.
func (p planet) rankByName(from, to string, s repo.Service) [4]int {
	standby := false
	for other, placement := range s.Placement {
		standby = standby || placement.Standby && other != from && p.Clusters[other].State == "active"
	}
	switch {
	case from == to:
		return [4]int{0}
	case s.Placement[to].Standby, !standby && spread(s) != "weighted" && distance(p.Mesh, from, to) == 3:
		return [4]int{2}
	}
	return [4]int{1}
}

func isIP(address string) bool {
	_, err := netip.ParseAddr(address)
	return err == nil
}

func (p planet) unreachable(cluster string) bool {
	return slices.ContainsFunc(p.world.Clusters, func(c world.Cluster) bool { return c.Name == cluster && c.GatewayUnreachable })
}
