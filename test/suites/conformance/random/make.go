package random

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// maker draws from a seed.
type maker struct {
	*rand.Rand

	// boldness scales how often anything unusual is drawn.
	boldness float64
	clusters []string
	group    map[string]string
	network  map[string]string
}

// Make draws a mesh of two to four clusters and three to eight services.
func Make(seed uint64, boldness float64) Mesh {
	m := &maker{
		Rand: rand.New(rand.NewPCG(seed, uint64(boldness*1000))), boldness: boldness,
		group: map[string]string{}, network: map[string]string{},
	}
	mesh := Mesh{Seed: seed, Settings: map[string]any{}, Clusters: map[string]any{}, Services: map[string]any{}}
	for i := range 2 + m.IntN(3) {
		m.clusters = append(m.clusters, fmt.Sprintf("c%d", i+1))
	}
	if m.chance(0.4) {
		mesh.Settings["authorization"] = map[string]any{"mode": m.pick("audit", "enforce")}
	}
	for i, c := range m.clusters {
		mesh.Clusters[c] = m.cluster(i, c)
	}
	names := []string{}
	for i := range 3 + m.IntN(6) {
		names = append(names, fmt.Sprintf("s%d", i+1))
	}
	for i, n := range names {
		mesh.Services[n] = m.service(i, n, names)
	}
	return mesh
}

// chance of something unusual.
func (m *maker) chance(p float64) bool { return m.Float64() < p*m.boldness }

func (m *maker) pick(from ...string) string { return from[m.IntN(len(from))] }

func (m *maker) cluster(i int, name string) map[string]any {
	c := map[string]any{"region": m.pick("eu", "us")}
	if m.chance(0.4) {
		c["zone"] = c["region"].(string) + m.pick("-a", "-b")
	}
	m.relate(i, name, c)
	gateways := []any{}
	for g := range 1 + m.IntN(2) {
		address := fmt.Sprintf("192.0.2.%d", 10*i+g+1)
		if m.chance(0.15) {
			address = fmt.Sprintf("gw%d.%s.example.com", g, name)
		}
		gateways = append(gateways, map[string]any{"address": address})
	}
	c["gateways"] = gateways
	if m.chance(0.2) {
		c["state"] = m.pick("draining", "down")
	}
	return c
}

// relate puts a cluster into a group, under another's control plane, on a network, into a trust domain.
func (m *maker) relate(i int, name string, c map[string]any) {
	shared := m.pick("n1", "n2")
	switch {
	case i > 0 && m.chance(0.2) && m.group[m.clusters[0]] == "":
		c["controlPlane"] = map[string]any{"kind": "remote", "primary": m.clusters[0]}
		m.group[name] = "remote"
	case m.chance(0.4):
		m.group[name] = m.pick("g1", "g2")
		c["discovery"] = m.group[name]
	}
	if m.chance(0.4) {
		c["network"] = shared
		m.network[name] = shared
	}
	if m.group[name] == "" && i > 0 && m.chance(0.25) {
		c["trustDomain"] = name + ".example.com"
	}
}

func (m *maker) service(i int, name string, all []string) map[string]any {
	s := map[string]any{
		"owner":   "team",
		"backend": map[string]any{"namespace": m.pick(name, "shared"), "selector": map[string]any{"app": name}, "serviceAccounts": []string{name}},
		"ports":   m.ports(),
		"egress":  m.egress(i, all),
	}
	if m.chance(0.1) {
		s["hosts"] = []string{name + ".example.com", "also-" + name + ".example.com"}
	}
	versions := []string{}
	if m.chance(0.5) {
		for v := range 2 + m.IntN(2) {
			versions = append(versions, fmt.Sprintf("v%d", v+1))
		}
		labels := map[string]any{}
		for _, v := range versions {
			labels[v] = map[string]any{"labels": map[string]any{"version": v}}
		}
		s["versions"] = labels
	}
	placement, run := m.placement(name, versions)
	s["placement"] = placement
	m.spread(s, placement)
	m.routes(s, run)
	if m.chance(0.1) {
		s["clusterHosts"] = true
	}
	if m.chance(0.2) {
		s["authorization"] = map[string]any{"mode": m.pick("off", "audit", "enforce")}
	}
	if m.chance(0.1) {
		s["sidecar"] = true
	}
	return s
}

func (m *maker) ports() map[string]any {
	ports := map[string]any{}
	switch m.IntN(6) {
	case 0:
		ports["db"] = map[string]any{"port": 5432, "protocol": "TCP"}
	case 1:
		ports["tls"] = map[string]any{"port": 443, "protocol": "TLS", "targetPort": 8443}
	case 2:
		ports["http"] = map[string]any{"port": 80, "protocol": "HTTP", "targetPort": 8080}
		ports["db"] = map[string]any{"port": 7000 + m.IntN(2), "protocol": "TCP"}
	default:
		ports["http"] = map[string]any{"port": m.pickPort(), "protocol": m.pick("HTTP", "HTTP2", "GRPC")}
	}
	return ports
}

func (m *maker) pickPort() int { return []int{80, 8080, 9000}[m.IntN(3)] }

// egress calls one to three others.
func (m *maker) egress(i int, all []string) map[string]any {
	egress := map[string]any{}
	for range 1 + m.IntN(3) {
		if j := m.IntN(len(all)); j != i {
			egress[all[j]] = map[string]any{}
		}
	}
	return egress
}

// placement in one cluster at least; also the versions that run somewhere.
func (m *maker) placement(name string, versions []string) (map[string]any, []string) {
	placement, run := map[string]any{}, map[string]bool{}
	for len(placement) == 0 {
		for _, c := range m.clusters {
			if m.IntN(2) == 0 {
				continue
			}
			p := map[string]any{}
			if here := m.some(versions); len(versions) > 0 && m.chance(0.5) {
				p["versions"] = here
				for _, v := range here {
					run[v] = true
				}
			} else {
				for _, v := range versions {
					run[v] = true
				}
			}
			if m.chance(0.1) {
				p["backend"] = map[string]any{"namespace": "other", "serviceAccounts": []string{name + "-2"}}
			}
			placement[c] = p
		}
	}
	return placement, slices.Sorted(maps.Keys(run))
}

// some of a list, one at least.
func (m *maker) some(all []string) []string {
	if len(all) == 0 {
		return nil
	}
	out := []string{all[m.IntN(len(all))]}
	for _, v := range all {
		if m.IntN(2) == 0 && v != out[0] {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// spread draws weights, standbys or local-only.
func (m *maker) spread(s, placement map[string]any) {
	clusters := slices.Sorted(maps.Keys(placement))
	switch {
	case m.chance(0.25):
		for _, c := range clusters {
			placement[c].(map[string]any)["weight"] = 1 + m.IntN(99)
		}
	case m.chance(0.3) && len(clusters) > 1:
		placement[clusters[m.IntN(len(clusters))]].(map[string]any)["standby"] = true
	case m.chance(0.05):
		s["spread"] = "local-only"
	}
}

// routes over versions that run and clusters of the placement.
func (m *maker) routes(s map[string]any, run []string) {
	if _, has := s["ports"].(map[string]any)["http"]; !has || !m.chance(0.6) {
		return
	}
	to := func() []any {
		if len(run) > 1 && m.IntN(2) == 0 {
			w := 10 + m.IntN(80)
			return []any{map[string]any{"version": run[0], "weight": w}, map[string]any{"version": run[1], "weight": 100 - w}}
		}
		if len(run) > 0 {
			return []any{map[string]any{"version": run[m.IntN(len(run))]}}
		}
		clusters := slices.Sorted(maps.Keys(s["placement"].(map[string]any)))
		return []any{map[string]any{"cluster": clusters[m.IntN(len(clusters))]}}
	}
	routes := []any{}
	if m.IntN(2) == 0 {
		match := map[string]any{"headers": map[string]any{"x-user": map[string]any{"exact": "jason"}}}
		routes = append(routes, map[string]any{"match": []any{match}, "to": to()})
	}
	if m.IntN(2) == 0 {
		match := map[string]any{"uri": map[string]any{"prefix": "/v/"}, "method": map[string]any{"exact": "POST"}}
		routes = append(routes, map[string]any{"match": []any{match}, "to": to(), "timeout": "3s"})
	}
	if len(run) > 0 && m.IntN(2) == 0 {
		routes = append(routes, map[string]any{"to": to()})
	}
	if len(routes) > 0 {
		s["routes"] = routes
	}
}
