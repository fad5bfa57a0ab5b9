package parity

import (
	"fmt"
	"slices"
	"strings"
)

type port struct {
	name, protocol string
	port, target   int
}

func (p port) http() bool { return p.protocol != "TCP" && p.protocol != "TLS" }

type placement struct {
	cluster  string
	versions []string // nil for all
	value    object
}

type service struct {
	name, namespace string
	owner           string
	ports           []port
	versions        []string
	placements      []*placement
	// byRegion: it runs in all clusters of the region, and of no other.
	byRegion string
	calls    []string // services and externals
	// kubernetes: it stands behind a Kubernetes Service; guarded: callers are checked.
	kubernetes, guarded bool
	localOnly           bool
	hosts               []string
	slots               int // how many are in use
	// facts is the manifest.
	facts []fact
}

// fact is a part of a manifest: a path and what stands there.
type fact struct {
	path  []string
	value any
}

func (s *service) add(value any, path ...string) { s.facts = append(s.facts, fact{path, value}) }

func (s *service) in(cluster string) bool {
	return slices.ContainsFunc(s.placements, func(p *placement) bool { return p.cluster == cluster })
}

// has tells whether the manifest says anything below the path.
func (s *service) has(path ...string) bool {
	return slices.ContainsFunc(s.facts, func(f fact) bool { return len(f.path) >= len(path) && slices.Equal(f.path[:len(path)], path) })
}

// remove takes what stands at the path out of the manifest.
func (s *service) remove(path ...string) {
	s.facts = slices.DeleteFunc(s.facts, func(f fact) bool { return slices.Equal(f.path, path) })
}

type external struct {
	name  string
	facts []fact
}

// Names that begin alike, that need quotes, and that mean something else elsewhere.
var serviceNames = []string{
	"web", "web-admin", "web-shop", "cart", "checkout", "ledger", "search", "orders", "orders-db", "auth", "api", "api-v2",
	"mailer", "catalog", "3scale", "string", "cluster", "len", "null", "name",
}

var owners = []string{"payments", "storefront", "platform", "search & more", "équipe-été", "data"}

func (m *maker) cast() {
	count := 3 + m.below(10, "how many services")
	names := shuffled(m.dice, serviceNames, "services")
	if m.turned("a service more", 0) {
		count++
	}
	if m.turned("a service less", 0) {
		count--
	}
	names = names[:count]
	for i, name := range names {
		if last := i == len(names)-1 && len(m.services) == 0; !last && slices.Contains(m.spec.WithoutServices, name) {
			continue
		}
		m.services = append(m.services, m.service(i, name))
	}
	for _, name := range []string{"stripe", "warehouse", "partners", "legacy"} {
		m.outside(name)
	}
	for i, s := range m.services {
		m.callees(i, s)
	}
	for i, s := range m.services {
		m.finish(i, s)
	}
	for _, s := range m.services {
		m.guard(s)
	}
}

func (m *maker) service(i int, name string) *service {
	s := &service{name: name, namespace: pick(m.dice, []string{name, name, "shop", "back-office"}, name, "namespace")}
	s.owner = pick(m.dice, owners, name, "owner")
	if m.turned("owner of a service", i) {
		s.owner = "new owner"
	}
	s.ports = m.ports(i, name)
	if m.on("versions", name) {
		s.versions = []string{"v1", "v2", "v3"}[:1+m.below(3, name, "versions")]
	}
	m.place(i, s)
	return s
}

func (m *maker) ports(i int, name string) []port {
	all := []port{
		{"http", "HTTP", 80, 8080},
		{"grpc", "GRPC", 9000, 0},
		{"h2", "HTTP2", 8081, 0},
		{"postgres", "TCP", 5432, 0},
		{"tls", "TLS", 443, 8443},
		{"8080", "HTTP", 8080, 0},
	}
	main := all[m.below(3, name, "port")]
	switch {
	case m.on("TCP ports", name):
		main = all[3]
	case m.on("TLS ports", name):
		main = all[4]
	}
	if m.turned("port of a service", i) {
		main.target = 7070
	}
	out := []port{main}
	if m.on("several ports", name) {
		for _, p := range some(m.dice, all, 0.4, name, "more ports") {
			if p.name != main.name {
				out = append(out, p)
			}
		}
	}
	return out
}

func (m *maker) place(i int, s *service) {
	if m.onFor(0.15, "service that runs nowhere", s.name) {
		return
	}
	if m.on("placement by region", s.name) {
		s.byRegion = pick(m.dice, m.clusters, s.name, "region").region
		for _, c := range m.clusters {
			if c.region == s.byRegion {
				s.placements = append(s.placements, &placement{cluster: c.name})
			}
		}
		return
	}
	order := shuffled(m.dice, m.clusters, s.name, "placement")
	count := 1 + m.below(min(3, len(order)), s.name, "how many placements")
	if m.turned("placement of a service", i) {
		count = 1 + count%len(order)
	}
	for _, c := range order[:count] {
		s.placements = append(s.placements, &placement{cluster: c.name})
	}
}

// callees decides whom a service calls; what a check would refuse is left out.
func (m *maker) callees(i int, s *service) {
	for _, callee := range m.services {
		if len(s.calls) > 4 || !m.chance(0.35, s.name, "calls", callee.name) || m.turned("calls of a service", i) {
			continue
		}
		if callee == s && !m.on("service that calls itself", s.name) || !m.mayCall(s, callee) {
			continue
		}
		s.calls = append(s.calls, callee.name)
	}
	for _, e := range m.externals {
		if m.chance(0.3, s.name, "calls", e.name) {
			s.calls = append(s.calls, e.name)
		}
	}
}

// mayCall is what tiers say.
func (m *maker) mayCall(s, callee *service) bool {
	if m.calls == nil {
		return true
	}
	for _, from := range s.placements {
		for _, to := range callee.placements {
			a, b := m.cluster(from.cluster).tier, m.cluster(to.cluster).tier
			if a != b && !slices.Contains(m.calls[a], b) {
				return false
			}
		}
	}
	return true
}

func (m *maker) callers(name string) []*service {
	var out []*service
	for _, s := range m.services {
		if slices.Contains(s.calls, name) {
			out = append(out, s)
		}
	}
	return out
}

func (m *maker) find(name string) *service {
	i := slices.IndexFunc(m.services, func(s *service) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return m.services[i]
}

// finish decides all else, now that it is known who calls whom, and writes the manifest down.
func (m *maker) finish(i int, s *service) {
	s.add(s.owner, "owner")
	m.names(s)
	for _, p := range s.ports {
		v := fields("port", p.port, "protocol", p.protocol)
		if p.target != 0 {
			v = append(v, member{"targetPort", p.target})
		}
		s.add(v, "ports", p.name)
	}
	s.guarded = m.guarded != ""
	if mode := pick(m.dice, []string{"off", "audit", "enforce"}, s.name, "mode"); m.on("authorization of a service", s.name) {
		s.add(mode, "authorization", "mode")
		s.guarded = mode != "off"
	}
	public := m.expose(s)
	m.spread(s, public)
	m.backend(s)
	for _, v := range s.versions {
		labels := fields("version", v)
		if m.on("versions with several labels", s.name, v) {
			labels = append(labels, member{"track", "track-" + v})
		}
		s.add(fields("labels", labels), "versions", v)
	}
	m.placeAt(s)
	m.routes(s)
	m.policy(i, s)
	for _, callee := range s.calls {
		s.add(m.need(s, callee), "egress", callee)
	}
	if !s.kubernetes && m.on("sidecar", s.name) {
		s.add(true, "sidecar")
	}
	if m.on("hosts of one cluster", s.name) {
		s.add(true, "clusterHosts")
	}
	if m.on("virtual address", s.name) {
		s.add(fmt.Sprintf("241.9.0.%d", 1+slices.Index(serviceNames, s.name)), "vip")
	}
}

func (m *maker) names(s *service) {
	switch {
	case m.oneGroup && s.name[0] > '9' && m.on("Kubernetes name as a host", s.name):
		s.hosts = []string{s.name + "." + s.namespace + ".svc.cluster.local"}
		if m.chance(0.5, s.name, "another host") {
			s.hosts = append(s.hosts, s.name+".shop.example.com")
		}
	case m.on("hosts", s.name):
		s.hosts = []string{s.name + ".shop.example.com"}
		if m.on("several hosts", s.name) {
			s.hosts = append(s.hosts, s.name+".int.example.com")
		}
	default:
		return
	}
	s.add(words(s.hosts), "hosts")
}

// expose puts the service on public gateways and returns the clusters of those.
func (m *maker) expose(s *service) []string {
	first := s.ports[0]
	var public, here []string
	for _, c := range m.clusters {
		if c.public {
			public = append(public, c.name)
			if s.in(c.name) {
				here = append(here, c.name)
			}
		}
	}
	if len(here) == 0 || first.protocol == "TCP" || len(s.hosts) == 1 && strings.HasSuffix(s.hosts[0], ".local") || !m.on("exposed service", s.name) {
		return nil
	}
	v := fields()
	if len(s.ports) > 1 || m.chance(0.3, s.name, "exposed port") {
		v = append(v, member{"port", first.name})
	}
	if first.protocol == "TLS" {
		m.count("exposed service with its own TLS")
	} else {
		v = append(v, member{"credentialName", s.name + "-cert"})
	}
	if !m.on("exposed elsewhere", s.name) {
		s.add(v, "expose")
		return here
	}
	s.add(append(v, member{"clusters", words(public)}), "expose")
	return public
}

// spread decides how calls are shared.
func (m *maker) spread(s *service, public []string) {
	from := slices.Clone(public)
	for _, caller := range m.callers(s.name) {
		for _, p := range caller.placements {
			from = append(from, p.cluster)
		}
	}
	planes := map[string]bool{}
	local := len(s.placements) > 0
	for _, p := range s.placements {
		plane := p.cluster
		if c := m.cluster(p.cluster); c.primary != "" {
			plane = c.primary
		}
		local = local && !planes[plane]
		planes[plane] = true
	}
	for _, c := range from {
		local = local && s.in(c)
	}
	if len(s.hosts) > 0 && strings.HasSuffix(s.hosts[0], ".local") {
		local = local && len(s.placements) == 1
	}
	switch {
	case local && m.on("local-only", s.name):
		s.localOnly = true
		s.add("local-only", "spread")
	case m.on("spread said", s.name):
		s.add("nearest", "spread")
	case !m.multi && len(s.placements) > 1 && s.byRegion == "" && m.on("weights", s.name):
		for i, p := range s.placements {
			p.value = append(p.value, member{"weight", 10 * (i + 1 + m.below(9, s.name, p.cluster, "weight"))})
		}
	}
}

func (m *maker) backend(s *service) {
	s.add(s.namespace, "backend", "namespace")
	s.kubernetes = !s.guarded && !m.multi && len(s.versions) == 0 && m.on("Kubernetes Service as a backend", s.name)
	if s.kubernetes {
		s.add(s.name, "backend", "service")
	} else {
		selector := fields("app", s.name)
		if m.on("selector of several labels", s.name) {
			selector = append(selector, member{"part-of", "parity"})
		}
		s.add(selector, "backend", "selector")
	}
	accounts := []string{s.name}
	if m.on("several service accounts", s.name) {
		accounts = append(accounts, s.name+"-batch")
	}
	s.add(words(accounts), "backend", "serviceAccounts")
}

// placeAt completes the placements.
func (m *maker) placeAt(s *service) {
	if s.byRegion != "" {
		return // written in one of several ways: see byRegion
	}
	for i, p := range s.placements {
		if i > 0 && !m.multi && !m.named && !s.localOnly && m.on("standby", s.name, p.cluster) {
			// A standby has no share.
			p.value = fields("standby", true)
		}
		if len(s.versions) > 1 && m.on("versions of a placement", s.name, p.cluster) {
			p.versions = s.versions[:1+m.below(len(s.versions)-1, s.name, p.cluster, "versions")]
			p.value = append(p.value, member{"versions", words(p.versions)})
		}
		if m.on("backend of a placement", s.name, p.cluster) {
			b := fields("serviceAccounts", words([]string{s.name + "-" + p.cluster}))
			if !m.multi && !slices.ContainsFunc(s.hosts, func(h string) bool { return strings.HasSuffix(h, ".local") }) {
				b = append(b, member{"namespace", s.namespace + "-2"})
			}
			p.value = append(p.value, member{"backend", b})
		}
		if m.shared && (len(s.versions) < 2 || len(p.versions) == 1) && m.on("address of a placement", s.name, p.cluster) {
			p.value = append(p.value, member{"address", fmt.Sprintf("10.7.%d.%d", slices.Index(serviceNames, s.name), i+1)})
		}
		s.add(append(object{}, p.value...), "placement", p.cluster)
	}
}

func (m *maker) need(s *service, callee string) object {
	c := m.find(callee)
	if c == nil || !m.on("needs of a caller", s.name, callee) {
		return nil
	}
	v := fields("ports", []any{c.ports[0].name})
	if c.ports[0].http() {
		v = append(v, member{"methods", words([]string{"GET", "POST"}[:1+m.below(2, s.name, callee, "methods")])},
			member{"paths", words([]string{"/items/*"})})
	}
	return v
}

// guard says who may call, now that all calls are known.
func (m *maker) guard(s *service) {
	if m.on("callers listed", s.name) {
		var names []string
		for _, c := range m.callers(s.name) {
			names = append(names, c.name)
		}
		s.add(words(names), "authorization", "callers")
	}
	if m.on("principals allowed", s.name) {
		s.add(words([]string{"cluster.local/ns/monitoring/sa/prometheus"}), "authorization", "allow")
	}
}

func (m *maker) outside(name string) {
	e := &external{name: name}
	add := func(value any, path ...string) { e.facts = append(e.facts, fact{path, value}) }
	https := fields("port", 443, "protocol", "TLS")
	switch {
	case name == "stripe" && m.once("external"):
		add(words([]string{"api.stripe.example.com"}), "hosts")
		add(https, "ports", "https")
	case name == "warehouse" && m.once("external by address"):
		add(words([]string{"warehouse.corp.example.com"}), "hosts")
		add(fields("port", 5432, "protocol", "TCP"), "ports", "postgres")
		add(words([]string{"10.1.0.0/24"}), "addresses")
	case name == "partners" && m.once("external with a wildcard"):
		add(words([]string{"*.partners.example.com", "partners.example.com"}), "hosts")
		add(https, "ports", "https")
		add(fields("port", 80, "protocol", "HTTP", "targetPort", 8080), "ports", "http")
	case name == "legacy" && m.once("external with endpoints"):
		add(words([]string{"legacy.example.com"}), "hosts")
		add(fields("port", 80, "protocol", "HTTP"), "ports", "http")
		add([]any{fields("address", "10.9.0.1")}, "endpoints")
		add("STATIC", "resolution")
		add(fields("tcp", fields("maxConnections", 20)), "traffic", "connectionPool")
	default:
		return
	}
	m.externals = append(m.externals, e)
}
