package parity

import "slices"

// decimals are forms of numbers that plain data could lose.
var decimals = []decimal{"0.5", "1.50", "1e2", "12.340000000000000001", "5E-1", "1e+1", "100.0", "0.1e-1"}

// routes are those of the service, for each kind of port that it has.
func (m *maker) routes(s *service) {
	for _, x := range []struct {
		kind, feature string
		serves        func(p port) bool
	}{
		{"routes", "HTTP routes", port.http},
		{"tcpRoutes", "TCP routes", func(p port) bool { return p.protocol == "TCP" }},
		{"tlsRoutes", "TLS routes", func(p port) bool { return p.protocol == "TLS" }},
	} {
		kind := x.kind
		i := slices.IndexFunc(s.ports, x.serves)
		if i < 0 || !m.on(x.feature, s.name) {
			continue
		}
		s.add(m.routesOf(s, kind, s.ports[i]), kind)
		if len(s.hosts) > 1 && m.on("routes of one host", s.name, kind) {
			s.add(m.routesOf(s, kind, s.ports[i]), "perHost", s.hosts[1], kind)
		}
	}
}

func (m *maker) routesOf(s *service, kind string, p port) []any {
	var out []any
	for i := range 1 + m.below(3, s.name, kind, "how many") {
		var r object
		k := []any{s.name, kind, i}
		switch kind {
		case "routes":
			r = m.route(s, p, k)
		default:
			if m.chance(0.5, at(k, "match")...) {
				r = append(r, member{"match", []any{fields("port", p.port)}})
			}
			r = append(r, m.destinations(s, k)...)
		}
		out = append(out, r)
	}
	return out
}

// route is one of HTTP, with whatever Istio allows there.
func (m *maker) route(s *service, p port, k []any) object {
	var r object
	if m.chance(0.7, at(k, "match")...) {
		r = append(r, member{"match", m.matches(p, k)})
	}
	if m.on("redirect", k...) {
		return append(r, member{"redirect", fields("uri", "/new", "authority", "new.example.com")})
	}
	if m.on("direct response", k...) {
		body := fields("string", "gone\n")
		if m.on("bytes", k...) {
			body = fields("bytes", expression(`'gone \xff'`))
		}
		return append(r, member{"directResponse", fields("status", 410, "body", body)})
	}
	r = append(r, m.destinations(s, k)...)
	if len(s.versions) > 0 && m.on("mirror", k...) {
		r = append(r, member{"mirror", fields("version", s.versions[0])})
		if v := m.runs(s); len(v) > 0 {
			r[len(r)-1].value = fields("version", v[0])
			r = append(r, member{"mirrorPercentage", fields("value", pick(m.dice, decimals, at(k, "mirror")...))})
			m.count("number forms")
		} else {
			r = r[:len(r)-1]
		}
	}
	if m.on("timeouts and retries", k...) {
		r = append(r, member{"timeout", "2.50s"}, member{"retries", fields("attempts", 3, "perTryTimeout", "1s", "retryOn", "5xx,reset")})
	}
	if m.on("fault", k...) {
		r = append(r, member{"fault", fields(
			"delay", fields("percentage", fields("value", pick(m.dice, decimals, at(k, "delay")...)), "fixedDelay", "5s"),
			"abort", fields("percentage", fields("value", pick(m.dice, decimals, at(k, "abort")...)), "httpStatus", 503))})
		m.count("number forms")
	}
	if m.on("rewrite and headers", k...) {
		r = append(r, member{"rewrite", fields("uri", "/")}, member{"headers", fields("request", fields(
			"set", fields("x-team", s.owner, "x-Ünï", "naïve \u2028 <b>&amp;</b> 🚀", "null", "true", "007", ""), "remove", words([]string{"x-debug"})))})
		m.count("unicode")
	}
	if m.on("cross-origin policy", k...) {
		r = append(r, member{"corsPolicy", fields("allowOrigins", []any{fields("regex", `^https://.*\.example\.com$`)}, "allowCredentials", true, "maxAge", "24h")})
	}
	return r
}

func (m *maker) matches(p port, k []any) []any {
	all := []object{
		fields("uri", fields("prefix", "/api/\"v1\"\\")),
		fields("headers", fields("end-user", fields("exact", "jason"))),
		fields("method", fields("exact", "GET"), "ignoreUriCase", true),
		fields("queryParams", fields("q", fields("regex", "^[a-z]+$"))),
		fields("sourceLabels", fields("app", "web")),
	}
	var out []any
	for i := range 1 + m.below(2, at(k, "matches")...) {
		v := pick(m.dice, all, at(k, "match", i)...)
		if m.chance(0.3, at(k, "match port", i)...) {
			v = append(slices.Clone(v), member{"port", p.port})
		}
		out = append(out, v)
	}
	return out
}

// runs are the versions that some placement has.
func (m *maker) runs(s *service) []string {
	var out []string
	for _, v := range s.versions {
		if len(s.placements) == 0 || slices.ContainsFunc(s.placements, func(p *placement) bool { return p.versions == nil || slices.Contains(p.versions, v) }) {
			out = append(out, v)
		}
	}
	return out
}

func (m *maker) destinations(s *service, k []any) object {
	var to []any
	runs := m.runs(s)
	switch {
	case len(s.placements) > 0 && s.byRegion == "" && m.on("routes to clusters", k...):
		p := pick(m.dice, s.placements, at(k, "cluster")...)
		d := fields("cluster", p.cluster)
		if len(p.versions) > 0 {
			d = append(d, member{"version", p.versions[0]})
		}
		to = append(to, d)
	case len(runs) > 0 && m.chance(0.7, at(k, "to")...):
		to = append(to, fields("version", runs[0]))
		if len(runs) > 1 && m.on("routes with weights", k...) {
			to = []any{fields("version", runs[0], "weight", 70), fields("version", runs[1], "weight", 30)}
		}
	default:
		return nil
	}
	return fields("to", to)
}

// policy is how callers' proxies treat the service.
func (m *maker) policy(i int, s *service) {
	if m.on("connection pool", s.name) {
		most := 1000
		if m.turned("policy of a service", i) {
			most = 2000
		}
		s.add(fields("tcp", fields("maxConnections", most), "http", fields("http2MaxRequests", 2000)), "traffic", "connectionPool")
	}
	if m.on("outlier detection", s.name) {
		s.add(fields("consecutive5xxErrors", 7, "maxEjectionPercent", 50), "traffic", "outlierDetection")
	}
	if m.on("load balancer", s.name) {
		s.add(pick(m.dice, []object{
			fields("simple", "LEAST_REQUEST", "warmup", fields("duration", "60s")),
			fields("consistentHash", fields("httpHeaderName", "x-user")),
		}, s.name, "load balancer"), "traffic", "loadBalancer")
	}
	if len(s.hosts) > 1 && m.on("policy of one host", s.name) {
		s.add(fields("connectionPool", fields("tcp", fields("maxConnections", 7))), "perHost", s.hosts[0], "traffic")
	}
}
