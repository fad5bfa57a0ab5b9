package random

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// generator draws random values from a seed.
type generator struct {
	*rand.Rand

	// variety scales the probability of uncommon features, 0 to 1.
	variety  float64
	clusters []string
	group    map[string]string
	network  map[string]string
}

// Make generates a mesh of two to four clusters and three to eight services.
func Make(seed uint64, variety float64) Mesh {
	g := &generator{
		Rand: rand.New(rand.NewPCG(seed, uint64(variety*1000))), variety: variety,
		group: map[string]string{}, network: map[string]string{},
	}
	mesh := Mesh{Seed: seed, Settings: map[string]any{}, Clusters: map[string]any{}, Services: map[string]any{}}
	for i := range 2 + g.IntN(3) {
		g.clusters = append(g.clusters, fmt.Sprintf("c%d", i+1))
	}
	if g.chance(0.4) {
		mesh.Settings["authorization"] = map[string]any{"mode": g.pick("audit", "enforce")}
	}
	for i, c := range g.clusters {
		mesh.Clusters[c] = g.cluster(i, c)
	}
	names := []string{}
	for i := range 3 + g.IntN(6) {
		names = append(names, fmt.Sprintf("s%d", i+1))
	}
	for i, n := range names {
		mesh.Services[n] = g.service(i, n, names)
	}
	return mesh
}

// chance is true with probability p, scaled by variety.
func (g *generator) chance(p float64) bool { return g.Float64() < p*g.variety }

func (g *generator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g *generator) cluster(i int, name string) map[string]any {
	c := map[string]any{"region": g.pick("eu", "us")}
	if g.chance(0.4) {
		c["zone"] = c["region"].(string) + g.pick("-a", "-b")
	}
	g.connect(i, name, c)
	gateways := []any{}
	for j := range 1 + g.IntN(2) {
		address := fmt.Sprintf("192.0.2.%d", 10*i+j+1)
		if g.chance(0.15) {
			address = fmt.Sprintf("gw%d.%s.example.com", j, name)
		}
		gateways = append(gateways, map[string]any{"address": address})
	}
	c["gateways"] = gateways
	if g.chance(0.2) {
		c["state"] = g.pick("draining", "down")
	}
	return c
}

// connect sets discovery group, control plane, network and trust domain of a cluster.
func (g *generator) connect(i int, name string, c map[string]any) {
	shared := g.pick("n1", "n2")
	switch {
	case i > 0 && g.chance(0.2) && g.group[g.clusters[0]] == "":
		c["controlPlane"] = map[string]any{"kind": "remote", "primary": g.clusters[0]}
		g.group[name] = "remote"
	case g.chance(0.4):
		g.group[name] = g.pick("g1", "g2")
		c["discovery"] = g.group[name]
	}
	if g.chance(0.4) {
		c["network"] = shared
		g.network[name] = shared
	}
	if g.group[name] == "" && i > 0 && g.chance(0.25) {
		c["trustDomain"] = name + ".example.com"
	}
}

func (g *generator) service(i int, name string, all []string) map[string]any {
	s := map[string]any{
		"owner":   "team",
		"backend": map[string]any{"namespace": g.pick(name, "shared"), "selector": map[string]any{"app": name}, "serviceAccounts": []string{name}},
		"ports":   g.ports(),
		"egress":  g.egress(i, all),
	}
	if g.chance(0.1) {
		s["hosts"] = []string{name + ".example.com", "also-" + name + ".example.com"}
	}
	versions := []string{}
	if g.chance(0.5) {
		for v := range 2 + g.IntN(2) {
			versions = append(versions, fmt.Sprintf("v%d", v+1))
		}
		labels := map[string]any{}
		for _, v := range versions {
			labels[v] = map[string]any{"labels": map[string]any{"version": v}}
		}
		s["versions"] = labels
	}
	placement, run := g.placement(name, versions)
	s["placement"] = placement
	g.spread(s, placement)
	g.routes(s, run)
	if g.chance(0.1) {
		s["clusterHosts"] = true
	}
	if g.chance(0.2) {
		s["authorization"] = map[string]any{"mode": g.pick("off", "audit", "enforce")}
	}
	if g.chance(0.1) {
		s["sidecar"] = true
	}
	return s
}

func (g *generator) ports() map[string]any {
	ports := map[string]any{}
	switch g.IntN(6) {
	case 0:
		ports["db"] = map[string]any{"port": 5432, "protocol": "TCP"}
	case 1:
		ports["tls"] = map[string]any{"port": 443, "protocol": "TLS", "targetPort": 8443}
	case 2:
		ports["http"] = map[string]any{"port": 80, "protocol": "HTTP", "targetPort": 8080}
		ports["db"] = map[string]any{"port": 7000 + g.IntN(2), "protocol": "TCP"}
	default:
		ports["http"] = map[string]any{"port": g.pickPort(), "protocol": g.pick("HTTP", "HTTP2", "GRPC")}
	}
	return ports
}

func (g *generator) pickPort() int { return []int{80, 8080, 9000}[g.IntN(3)] }

// egress to at most three other services.
func (g *generator) egress(i int, all []string) map[string]any {
	egress := map[string]any{}
	for range 1 + g.IntN(3) {
		if j := g.IntN(len(all)); j != i {
			egress[all[j]] = map[string]any{}
		}
	}
	return egress
}

// placement in at least one cluster, and the versions that run in any cluster.
func (g *generator) placement(name string, versions []string) (map[string]any, []string) {
	placement, run := map[string]any{}, map[string]bool{}
	for len(placement) == 0 {
		for _, c := range g.clusters {
			if g.IntN(2) == 0 {
				continue
			}
			p := map[string]any{}
			if here := g.subset(versions); len(versions) > 0 && g.chance(0.5) {
				p["versions"] = here
				for _, v := range here {
					run[v] = true
				}
			} else {
				for _, v := range versions {
					run[v] = true
				}
			}
			if g.chance(0.1) {
				p["backend"] = map[string]any{"namespace": "other", "serviceAccounts": []string{name + "-2"}}
			}
			placement[c] = p
		}
	}
	return placement, slices.Sorted(maps.Keys(run))
}

// subset of a list, at least one element.
func (g *generator) subset(all []string) []string {
	if len(all) == 0 {
		return nil
	}
	out := []string{all[g.IntN(len(all))]}
	for _, v := range all {
		if g.IntN(2) == 0 && v != out[0] {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// spread sets weights, standbys or local-only.
func (g *generator) spread(s, placement map[string]any) {
	clusters := slices.Sorted(maps.Keys(placement))
	switch {
	case g.chance(0.25):
		for _, c := range clusters {
			placement[c].(map[string]any)["weight"] = 1 + g.IntN(99)
		}
	case g.chance(0.3) && len(clusters) > 1:
		placement[clusters[g.IntN(len(clusters))]].(map[string]any)["standby"] = true
	case g.chance(0.05):
		s["spread"] = "local-only"
	}
}

// routes to running versions and to clusters of the placement.
func (g *generator) routes(s map[string]any, run []string) {
	if _, has := s["ports"].(map[string]any)["http"]; !has || !g.chance(0.6) {
		return
	}
	to := func() []any {
		if len(run) > 1 && g.IntN(2) == 0 {
			w := 10 + g.IntN(80)
			return []any{map[string]any{"version": run[0], "weight": w}, map[string]any{"version": run[1], "weight": 100 - w}}
		}
		if len(run) > 0 {
			return []any{map[string]any{"version": run[g.IntN(len(run))]}}
		}
		clusters := slices.Sorted(maps.Keys(s["placement"].(map[string]any)))
		return []any{map[string]any{"cluster": clusters[g.IntN(len(clusters))]}}
	}
	routes := []any{}
	if g.IntN(2) == 0 {
		match := map[string]any{"headers": map[string]any{"x-user": map[string]any{"exact": "jason"}}}
		routes = append(routes, map[string]any{"match": []any{match}, "to": to()})
	}
	if g.IntN(2) == 0 {
		match := map[string]any{"uri": map[string]any{"prefix": "/v/"}, "method": map[string]any{"exact": "POST"}}
		routes = append(routes, map[string]any{"match": []any{match}, "to": to(), "timeout": "3s"})
	}
	if len(run) > 0 && g.IntN(2) == 0 {
		routes = append(routes, map[string]any{"to": to()})
	}
	if len(routes) > 0 {
		s["routes"] = routes
	}
}
