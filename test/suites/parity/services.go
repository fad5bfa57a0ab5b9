package parity

import (
	"fmt"
	"slices"
)

type port struct {
	name, protocol string
	port, target   int
}

func (p port) http() bool { return p.protocol != "TCP" && p.protocol != "TLS" }

type service struct {
	name, namespace string
	owner           string
	ports           []port
	versions        []string
	placements      []*placement
	// region: the service runs in all clusters of the region and in no others. "" for listed
	// clusters.
	region string
	calls  []string // services and externals
	// kubernetesService: the backend is a Kubernetes Service. checksCallers: authorization is not
	// off.
	kubernetesService, checksCallers bool
	localOnly                        bool
	hosts                            []string
	durationFields                   int // number of duration fields in use
	// assignments is the manifest.
	assignments []assignment
}

// assignment is a part of a manifest: a path and its value.
type assignment struct {
	path  []string
	value any
}

func (s *service) add(value any, path ...string) {
	s.assignments = append(s.assignments, assignment{path, value})
}

// has reports whether the manifest has a value at or below the path.
func (s *service) has(path ...string) bool {
	return slices.ContainsFunc(s.assignments, func(f assignment) bool { return len(f.path) >= len(path) && slices.Equal(f.path[:len(path)], path) })
}

// remove removes the value at the path from the manifest.
func (s *service) remove(path ...string) {
	s.assignments = slices.DeleteFunc(s.assignments, func(f assignment) bool { return slices.Equal(f.path, path) })
}

type external struct {
	name        string
	assignments []assignment
}

// serviceNames include common prefixes, names that need quotes, and identifiers of CUE and of the
// module.
var serviceNames = []string{
	"web", "web-admin", "web-shop", "cart", "checkout", "ledger", "search", "orders", "orders-db", "auth", "api", "api-v2",
	"mailer", "catalog", "3scale", "string", "cluster", "len", "null", "name",
}

var owners = []string{"payments", "storefront", "platform", "search & more", "équipe-été", "data"}

func (g *generator) generateServices() {
	count := 3 + g.intN(10, "how many services")
	names := shuffled(g.random, serviceNames, "services")
	if g.isChanged("a service is added", 0) {
		count++
	}
	if g.isChanged("a service is removed", 0) {
		count--
	}
	names = names[:count]
	for i, name := range names {
		if last := i == len(names)-1 && len(g.services) == 0; !last && slices.Contains(g.spec.WithoutServices, name) {
			continue
		}
		g.services = append(g.services, g.newService(i, name))
	}
	for _, name := range []string{"stripe", "warehouse", "partners", "legacy"} {
		g.addExternal(name)
	}
	for i, s := range g.services {
		g.chooseCalls(i, s)
	}
	for i, s := range g.services {
		g.completeService(i, s)
	}
	for _, s := range g.services {
		g.limitCallers(s)
	}
}

func (g *generator) newService(i int, name string) *service {
	s := &service{name: name, namespace: pick(g.random, []string{name, name, "shop", "back-office"}, name, "namespace")}
	s.owner = pick(g.random, owners, name, "owner")
	if g.isChanged("owner of a service", i) {
		s.owner = "new owner"
	}
	s.ports = g.choosePorts(i, name)
	if g.applyTo("versions", name) {
		s.versions = []string{"v1", "v2", "v3"}[:1+g.intN(3, name, "versions")]
	}
	g.choosePlacements(i, s)
	return s
}

func (g *generator) choosePorts(i int, name string) []port {
	all := []port{
		{"http", "HTTP", 80, 8080},
		{"grpc", "GRPC", 9000, 0},
		{"h2", "HTTP2", 8081, 0},
		{"postgres", "TCP", 5432, 0},
		{"tls", "TLS", 443, 8443},
		{"8080", "HTTP", 8080, 0},
	}
	main := all[g.intN(3, name, "port")]
	switch {
	case g.applyTo("TCP ports", name):
		main = all[3]
	case g.applyTo("TLS ports", name):
		main = all[4]
	}
	if g.isChanged("port of a service", i) {
		main.target = 7070
	}
	out := []port{main}
	if g.applyTo("several ports", name) {
		for _, p := range sample(g.random, all, 0.4, name, "more ports") {
			if p.name != main.name {
				out = append(out, p)
			}
		}
	}
	return out
}

// chooseCalls selects the callees. Calls that a check of the module would reject are left out.
func (g *generator) chooseCalls(i int, s *service) {
	for _, callee := range g.services {
		if len(s.calls) > 4 || !g.chance(0.35, s.name, "calls", callee.name) || g.isChanged("calls of a service", i) {
			continue
		}
		if callee == s && !g.applyTo("service that calls itself", s.name) || !g.tiersAllow(s, callee) {
			continue
		}
		s.calls = append(s.calls, callee.name)
	}
	for _, e := range g.externals {
		if g.chance(0.3, s.name, "calls", e.name) {
			s.calls = append(s.calls, e.name)
		}
	}
}

// tiersAllow reports whether the tiers allow a call.
func (g *generator) tiersAllow(s, callee *service) bool {
	if g.tierCalls == nil {
		return true
	}
	for _, from := range s.placements {
		for _, to := range callee.placements {
			a, b := g.cluster(from.cluster).tier, g.cluster(to.cluster).tier
			if a != b && !slices.Contains(g.tierCalls[a], b) {
				return false
			}
		}
	}
	return true
}

func (g *generator) callers(name string) []*service {
	var out []*service
	for _, s := range g.services {
		if slices.Contains(s.calls, name) {
			out = append(out, s)
		}
	}
	return out
}

func (g *generator) find(name string) *service {
	i := slices.IndexFunc(g.services, func(s *service) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return g.services[i]
}

// completeService generates the rest of the service, which depends on the calls, and writes the
// manifest.
func (g *generator) completeService(i int, s *service) {
	s.add(s.owner, "owner")
	g.chooseHosts(s)
	for _, p := range s.ports {
		v := fields("port", p.port, "protocol", p.protocol)
		if p.target != 0 {
			v = append(v, member{"targetPort", p.target})
		}
		s.add(v, "ports", p.name)
	}
	s.checksCallers = g.defaultMode != ""
	if mode := pick(g.random, []string{"off", "audit", "enforce"}, s.name, "mode"); g.applyTo("authorization of a service", s.name) {
		s.add(mode, "authorization", "mode")
		s.checksCallers = mode != "off"
	}
	public := g.expose(s)
	g.chooseSpread(s, public)
	g.writeBackend(s)
	for _, v := range s.versions {
		labels := fields("version", v)
		if g.applyTo("versions with several labels", s.name, v) {
			labels = append(labels, member{"track", "track-" + v})
		}
		s.add(fields("labels", labels), "versions", v)
	}
	g.writePlacements(s)
	g.writeRoutes(s)
	g.writePolicy(i, s)
	for _, callee := range s.calls {
		s.add(g.egressLimits(s, callee), "egress", callee)
	}
	if !s.kubernetesService && g.applyTo("sidecar", s.name) {
		s.add(true, "sidecar")
	}
	if g.applyTo("hosts of one cluster", s.name) {
		s.add(true, "clusterHosts")
	}
	if g.applyTo("virtual address", s.name) {
		s.add(fmt.Sprintf("241.9.0.%d", 1+slices.Index(serviceNames, s.name)), "vip")
	}
}

func (g *generator) chooseHosts(s *service) {
	switch {
	case g.oneGroup && s.name[0] > '9' && g.applyTo("Kubernetes name as a host", s.name):
		s.hosts = []string{s.name + "." + s.namespace + ".svc.cluster.local"}
		if g.chance(0.5, s.name, "another host") {
			s.hosts = append(s.hosts, s.name+".shop.example.com")
		}
	case g.applyTo("hosts", s.name):
		s.hosts = []string{s.name + ".shop.example.com"}
		if g.applyTo("several hosts", s.name) {
			s.hosts = append(s.hosts, s.name+".int.example.com")
		}
	default:
		return
	}
	s.add(stringList(s.hosts), "hosts")
}

func (g *generator) writeBackend(s *service) {
	s.add(s.namespace, "backend", "namespace")
	s.kubernetesService = !s.checksCallers && !g.grouped && len(s.versions) == 0 && g.applyTo("Kubernetes Service as a backend", s.name)
	if s.kubernetesService {
		s.add(s.name, "backend", "service")
	} else {
		selector := fields("app", s.name)
		if g.applyTo("selector of several labels", s.name) {
			selector = append(selector, member{"part-of", "parity"})
		}
		s.add(selector, "backend", "selector")
	}
	accounts := []string{s.name}
	if g.applyTo("several service accounts", s.name) {
		accounts = append(accounts, s.name+"-batch")
	}
	s.add(stringList(accounts), "backend", "serviceAccounts")
}

func (g *generator) egressLimits(s *service, callee string) object {
	c := g.find(callee)
	if c == nil || !g.applyTo("needs of a caller", s.name, callee) {
		return nil
	}
	v := fields("ports", []any{c.ports[0].name})
	if c.ports[0].http() {
		v = append(v, member{"methods", stringList([]string{"GET", "POST"}[:1+g.intN(2, s.name, callee, "methods")])},
			member{"paths", stringList([]string{"/items/*"})})
	}
	return v
}

// limitCallers writes the authorized callers. All calls must be generated.
func (g *generator) limitCallers(s *service) {
	if g.applyTo("callers listed", s.name) {
		var names []string
		for _, c := range g.callers(s.name) {
			names = append(names, c.name)
		}
		s.add(stringList(names), "authorization", "callers")
	}
	if g.applyTo("principals allowed", s.name) {
		s.add(stringList([]string{"cluster.local/ns/monitoring/sa/prometheus"}), "authorization", "allow")
	}
}

func (g *generator) addExternal(name string) {
	e := &external{name: name}
	add := func(value any, path ...string) { e.assignments = append(e.assignments, assignment{path, value}) }
	https := fields("port", 443, "protocol", "TLS")
	switch {
	case name == "stripe" && g.apply("external"):
		add(stringList([]string{"api.stripe.example.com"}), "hosts")
		add(https, "ports", "https")
	case name == "warehouse" && g.apply("external by address"):
		add(stringList([]string{"warehouse.corp.example.com"}), "hosts")
		add(fields("port", 5432, "protocol", "TCP"), "ports", "postgres")
		add(stringList([]string{"10.1.0.0/24"}), "addresses")
	case name == "partners" && g.apply("external with a wildcard"):
		add(stringList([]string{"*.partners.example.com", "partners.example.com"}), "hosts")
		add(https, "ports", "https")
		add(fields("port", 80, "protocol", "HTTP", "targetPort", 8080), "ports", "http")
	case name == "legacy" && g.apply("external with endpoints"):
		add(stringList([]string{"legacy.example.com"}), "hosts")
		add(fields("port", 80, "protocol", "HTTP"), "ports", "http")
		add([]any{fields("address", "10.9.0.1")}, "endpoints")
		add("STATIC", "resolution")
		add(fields("tcp", fields("maxConnections", 20)), "traffic", "connectionPool")
	default:
		return
	}
	g.externals = append(g.externals, e)
}
