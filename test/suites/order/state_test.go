package order_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// state is the mesh of one commit. Fields with their zero value are left out of the manifest.
type state struct {
	services map[string]*service
	// removed are the last states of removed services.
	removed  map[string]*service
	clusters map[string]*inventory
	// gatewayPort is settings.gateway.port.
	gatewayPort int
}

// inventory is one cluster.
type inventory struct {
	region, state string
	gateways      []address
}

// address is a gateway address in the inventory.
type address struct {
	host string
	// mapped is the port of a load balancer in front of the gateway, 0 if it equals the gateway port.
	mapped int
}

// service is one manifest.
type service struct {
	hosts     []string
	ports     map[string]port
	versions  []string
	placement map[string]placed
	calls     []string
	// routes is one of the routings below. timeout is in seconds.
	routes, timeout int
	// weighted: the placements have weights.
	weighted bool
	// byService: the backend is a Kubernetes Service without versions.
	byService bool
}

type port struct {
	number   int
	protocol string
}

type placed struct {
	// versions is nil for all versions.
	versions []string
	weight   int
	standby  bool
}

// Routings of a service.
const (
	unrouted = iota
	byHeader // one version per header value, the first one by default
	split    // by weight between versions
	byCluster
	routings
)

func (s *state) clone() *state {
	out := &state{services: map[string]*service{}, removed: map[string]*service{}, clusters: map[string]*inventory{}, gatewayPort: s.gatewayPort}
	for name, s := range s.services {
		out.services[name] = s.clone()
	}
	for name, s := range s.removed {
		out.removed[name] = s.clone()
	}
	for name, c := range s.clusters {
		out.clusters[name] = &inventory{region: c.region, state: c.state, gateways: slices.Clone(c.gateways)}
	}
	return out
}

func (s *service) clone() *service {
	out := *s
	out.hosts, out.versions, out.calls = slices.Clone(s.hosts), slices.Clone(s.versions), slices.Clone(s.calls)
	out.ports, out.placement = maps.Clone(s.ports), maps.Clone(s.placement)
	for name, p := range out.placement {
		p.versions = slices.Clone(p.versions)
		out.placement[name] = p
	}
	return &out
}

// runs reports whether a version runs in a cluster.
func (s *service) runs(version, cluster string) bool {
	p, ok := s.placement[cluster]
	return ok && (p.versions == nil || slices.Contains(p.versions, version))
}

// running returns the versions that run in any cluster.
func (s *service) running() []string {
	return slices.DeleteFunc(slices.Clone(s.versions), func(version string) bool {
		return !slices.ContainsFunc(clusterNames, func(c string) bool { return s.runs(version, c) })
	})
}

// files returns the files of the repository without the CUE module. JSON is valid CUE.
func (s *state) files() map[string]string {
	out := map[string]string{
		"settings.cue": cueOf("settings", map[string]any{"gateway": map[string]any{"port": s.gatewayPort}}),
	}
	clusters := map[string]any{}
	for name, c := range s.clusters {
		var gateways []any
		for _, g := range c.gateways {
			gateways = append(gateways, map[string]any{"address": g.host, "port": g.port(s.gatewayPort)})
		}
		clusters[name] = map[string]any{"region": c.region, "state": c.state, "gateways": gateways}
	}
	out["clusters.cue"] = cueOf("clusters", clusters)
	for name, svc := range s.services {
		out["services/"+name+".cue"] = cueOf("services", map[string]any{name: svc.manifest(name)})
	}
	return out
}

func (a address) port(gateway int) int {
	if a.mapped > 0 {
		return a.mapped
	}
	return gateway
}

func cueOf(field string, value any) string {
	data, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		panic(err) // not possible for maps, lists, strings and numbers
	}
	return fmt.Sprintf("package config\n\n%s: %s\n", field, data)
}

func (s *service) manifest(name string) map[string]any {
	backend := map[string]any{"namespace": name, "serviceAccounts": []string{name}}
	if s.byService {
		backend["service"] = name
	} else {
		backend["selector"] = map[string]any{"app": name}
	}
	ports, versions, placement, egress := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for name, p := range s.ports {
		ports[name] = map[string]any{"port": p.number, "protocol": p.protocol}
	}
	for _, v := range s.versions {
		versions[v] = map[string]any{"labels": map[string]any{"version": v}}
	}
	for cluster, p := range s.placement {
		placement[cluster] = p.manifest(s.weighted)
	}
	for _, callee := range s.calls {
		egress[callee] = map[string]any{}
	}
	return map[string]any{
		"owner": "team", "hosts": s.hosts, "ports": ports, "backend": backend, "versions": versions,
		"placement": placement, "egress": egress, "routes": s.routeList(),
	}
}

func (p placed) manifest(weighted bool) map[string]any {
	out := map[string]any{}
	if p.versions != nil {
		out["versions"] = p.versions
	}
	if weighted {
		out["weight"] = max(1, p.weight)
	}
	if p.standby {
		out["standby"] = true
	}
	return out
}

// routeList returns the routes, only to versions and clusters that exist.
func (s *service) routeList() []any {
	routes := []any{}
	all := map[string]any{}
	running := s.running()
	switch {
	case s.routes == byHeader && len(running) > 0:
		for _, v := range running {
			routes = append(routes, map[string]any{
				"match": []any{map[string]any{"headers": map[string]any{"x-version": map[string]any{"exact": v}}}},
				"to":    []any{map[string]any{"version": v}},
			})
		}
		all["to"] = []any{map[string]any{"version": running[0]}}
	case s.routes == split && len(running) > 1:
		all["to"] = []any{map[string]any{"version": running[0], "weight": 70}, map[string]any{"version": running[1], "weight": 30}}
	case s.routes == byCluster && len(s.placement) > 0:
		all["to"] = s.toClusters(running)
	}
	if s.timeout > 0 {
		all["timeout"] = fmt.Sprintf("%ds", s.timeout)
	}
	if len(all) > 0 {
		routes = append(routes, all)
	}
	return routes
}

// toClusters returns a destination for each cluster that runs the service. The first one has a
// version.
func (s *service) toClusters(running []string) []any {
	var to []any
	for i, cluster := range slices.Sorted(maps.Keys(s.placement)) {
		destination := map[string]any{"cluster": cluster}
		if len(s.placement) > 1 {
			destination["weight"] = 1 + i
		}
		if i == 0 {
			for _, v := range running {
				if s.runs(v, cluster) {
					destination["version"] = v
				}
			}
		}
		to = append(to, destination)
	}
	return to
}
