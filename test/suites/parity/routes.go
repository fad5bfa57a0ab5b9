package parity

import "slices"

// decimals are notations of numbers that a conversion to plain data could change.
var decimals = []decimal{"0.5", "1.50", "1e2", "12.340000000000000001", "5E-1", "1e+1", "100.0", "0.1e-1"}

// writeRoutes writes routes for each kind of port of the service.
func (g *generator) writeRoutes(s *service) {
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
		if i < 0 || !g.applyTo(x.feature, s.name) {
			continue
		}
		s.add(g.routesOf(s, kind, s.ports[i]), kind)
		if len(s.hosts) > 1 && g.applyTo("routes of one host", s.name, kind) {
			s.add(g.routesOf(s, kind, s.ports[i]), "perHost", s.hosts[1], kind)
		}
	}
}

func (g *generator) routesOf(s *service, kind string, p port) []any {
	var out []any
	for i := range 1 + g.intN(3, s.name, kind, "how many") {
		var r object
		k := []any{s.name, kind, i}
		switch kind {
		case "routes":
			r = g.route(s, p, k)
		default:
			if g.chance(0.5, subkey(k, "match")...) {
				r = append(r, member{"match", []any{fields("port", p.port)}})
			}
			r = append(r, g.destinations(s, k)...)
		}
		out = append(out, r)
	}
	return out
}

// route is a random HTTP route.
func (g *generator) route(s *service, p port, k []any) object {
	var r object
	if g.chance(0.7, subkey(k, "match")...) {
		r = append(r, member{"match", g.matches(p, k)})
	}
	if g.applyTo("redirect", k...) {
		return append(r, member{"redirect", fields("uri", "/new", "authority", "new.example.com")})
	}
	if g.applyTo("direct response", k...) {
		body := fields("string", "gone\n")
		if g.applyTo("bytes", k...) {
			body = fields("bytes", expression(`'gone \xff'`))
		}
		return append(r, member{"directResponse", fields("status", 410, "body", body)})
	}
	r = append(r, g.destinations(s, k)...)
	if len(s.versions) > 0 && g.applyTo("mirror", k...) {
		r = append(r, member{"mirror", fields("version", s.versions[0])})
		if v := g.runningVersions(s); len(v) > 0 {
			r[len(r)-1].value = fields("version", v[0])
			r = append(r, member{"mirrorPercentage", fields("value", pick(g.random, decimals, subkey(k, "mirror")...))})
			g.countFeature("number forms")
		} else {
			r = r[:len(r)-1]
		}
	}
	if g.applyTo("timeouts and retries", k...) {
		r = append(r, member{"timeout", "2.50s"}, member{"retries", fields("attempts", 3, "perTryTimeout", "1s", "retryOn", "5xx,reset")})
	}
	if g.applyTo("fault", k...) {
		r = append(r, member{"fault", fields(
			"delay", fields("percentage", fields("value", pick(g.random, decimals, subkey(k, "delay")...)), "fixedDelay", "5s"),
			"abort", fields("percentage", fields("value", pick(g.random, decimals, subkey(k, "abort")...)), "httpStatus", 503))})
		g.countFeature("number forms")
	}
	if g.applyTo("rewrite and headers", k...) {
		r = append(r, member{"rewrite", fields("uri", "/")}, member{"headers", fields("request", fields(
			"set", fields("x-team", s.owner, "x-Ünï", "naïve \u2028 <b>&amp;</b> 🚀", "null", "true", "007", ""), "remove", stringList([]string{"x-debug"})))})
		g.countFeature("unicode")
	}
	if g.applyTo("cross-origin policy", k...) {
		r = append(r, member{"corsPolicy", fields("allowOrigins", []any{fields("regex", `^https://.*\.example\.com$`)}, "allowCredentials", true, "maxAge", "24h")})
	}
	return r
}

func (g *generator) matches(p port, k []any) []any {
	all := []object{
		fields("uri", fields("prefix", "/api/\"v1\"\\")),
		fields("headers", fields("end-user", fields("exact", "jason"))),
		fields("method", fields("exact", "GET"), "ignoreUriCase", true),
		fields("queryParams", fields("q", fields("regex", "^[a-z]+$"))),
		fields("sourceLabels", fields("app", "web")),
	}
	var out []any
	for i := range 1 + g.intN(2, subkey(k, "matches")...) {
		v := pick(g.random, all, subkey(k, "match", i)...)
		if g.chance(0.3, subkey(k, "match port", i)...) {
			v = append(slices.Clone(v), member{"port", p.port})
		}
		out = append(out, v)
	}
	return out
}

// runningVersions are the versions that any placement runs.
func (g *generator) runningVersions(s *service) []string {
	var out []string
	for _, v := range s.versions {
		if len(s.placements) == 0 || slices.ContainsFunc(s.placements, func(p *placement) bool { return p.versions == nil || slices.Contains(p.versions, v) }) {
			out = append(out, v)
		}
	}
	return out
}

func (g *generator) destinations(s *service, k []any) object {
	var to []any
	runs := g.runningVersions(s)
	switch {
	case len(s.placements) > 0 && s.region == "" && g.applyTo("routes to clusters", k...):
		p := pick(g.random, s.placements, subkey(k, "cluster")...)
		d := fields("cluster", p.cluster)
		if len(p.versions) > 0 {
			d = append(d, member{"version", p.versions[0]})
		}
		to = append(to, d)
	case len(runs) > 0 && g.chance(0.7, subkey(k, "to")...):
		to = append(to, fields("version", runs[0]))
		if len(runs) > 1 && g.applyTo("routes with weights", k...) {
			to = []any{fields("version", runs[0], "weight", 70), fields("version", runs[1], "weight", 30)}
		}
	default:
		return nil
	}
	return fields("to", to)
}

// writePolicy writes the traffic policy of the service.
func (g *generator) writePolicy(i int, s *service) {
	if g.applyTo("connection pool", s.name) {
		most := 1000
		if g.isChanged("policy of a service", i) {
			most = 2000
		}
		s.add(fields("tcp", fields("maxConnections", most), "http", fields("http2MaxRequests", 2000)), "traffic", "connectionPool")
	}
	if g.applyTo("outlier detection", s.name) {
		s.add(fields("consecutive5xxErrors", 7, "maxEjectionPercent", 50), "traffic", "outlierDetection")
	}
	if g.applyTo("load balancer", s.name) {
		s.add(pick(g.random, []object{
			fields("simple", "LEAST_REQUEST", "warmup", fields("duration", "60s")),
			fields("consistentHash", fields("httpHeaderName", "x-user")),
		}, s.name, "load balancer"), "traffic", "loadBalancer")
	}
	if len(s.hosts) > 1 && g.applyTo("policy of one host", s.name) {
		s.add(fields("connectionPool", fields("tcp", fields("maxConnections", 7))), "perHost", s.hosts[0], "traffic")
	}
}
