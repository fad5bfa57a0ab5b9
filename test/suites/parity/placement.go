package parity

import (
	"fmt"
	"slices"
	"strings"
)

type placement struct {
	cluster  string
	versions []string // nil for every version
	value    object
}

func (s *service) runsIn(cluster string) bool {
	return slices.ContainsFunc(s.placements, func(p *placement) bool { return p.cluster == cluster })
}

func (g *generator) choosePlacements(i int, s *service) {
	if g.applyToShare(0.15, "service that runs nowhere", s.name) {
		return
	}
	if g.applyTo("placement by region", s.name) {
		s.region = pick(g.random, g.clusters, s.name, "region").region
		for _, c := range g.clusters {
			if c.region == s.region {
				s.placements = append(s.placements, &placement{cluster: c.name})
			}
		}
		return
	}
	order := shuffled(g.random, g.clusters, s.name, "placement")
	count := 1 + g.intN(min(3, len(order)), s.name, "how many placements")
	if g.isChanged("placement of a service", i) {
		count = 1 + count%len(order)
	}
	for _, c := range order[:count] {
		s.placements = append(s.placements, &placement{cluster: c.name})
	}
}

// expose publishes the service on public gateways and returns their clusters.
func (g *generator) expose(s *service) []string {
	first := s.ports[0]
	var public, here []string
	for _, c := range g.clusters {
		if c.public {
			public = append(public, c.name)
			if s.runsIn(c.name) {
				here = append(here, c.name)
			}
		}
	}
	if len(here) == 0 || first.protocol == "TCP" || len(s.hosts) == 1 && strings.HasSuffix(s.hosts[0], ".local") || !g.applyTo("exposed service", s.name) {
		return nil
	}
	v := fields()
	if len(s.ports) > 1 || g.chance(0.3, s.name, "exposed port") {
		v = append(v, member{"port", first.name})
	}
	if first.protocol == "TLS" {
		g.countFeature("exposed service with its own TLS")
	} else {
		v = append(v, member{"credentialName", s.name + "-cert"})
	}
	if !g.applyTo("exposed elsewhere", s.name) {
		s.add(v, "expose")
		return here
	}
	s.add(append(v, member{"clusters", stringList(public)}), "expose")
	return public
}

// chooseSpread selects local-only, nearest or weights.
func (g *generator) chooseSpread(s *service, public []string) {
	from := slices.Clone(public)
	for _, caller := range g.callers(s.name) {
		for _, p := range caller.placements {
			from = append(from, p.cluster)
		}
	}
	planes := map[string]bool{}
	local := len(s.placements) > 0
	for _, p := range s.placements {
		plane := p.cluster
		if c := g.cluster(p.cluster); c.primary != "" {
			plane = c.primary
		}
		local = local && !planes[plane]
		planes[plane] = true
	}
	for _, c := range from {
		local = local && s.runsIn(c)
	}
	if len(s.hosts) > 0 && strings.HasSuffix(s.hosts[0], ".local") {
		local = local && len(s.placements) == 1
	}
	switch {
	case local && g.applyTo("local-only", s.name):
		s.localOnly = true
		s.add("local-only", "spread")
	case g.applyTo("spread said", s.name):
		s.add("nearest", "spread")
	case !g.grouped && len(s.placements) > 1 && s.region == "" && g.applyTo("weights", s.name):
		for i, p := range s.placements {
			p.value = append(p.value, member{"weight", 10 * (i + 1 + g.intN(9, s.name, p.cluster, "weight"))})
		}
	}
}

// writePlacements completes the placements and writes them.
func (g *generator) writePlacements(s *service) {
	if s.region != "" {
		return // see writeRegion
	}
	for i, p := range s.placements {
		if i > 0 && !g.grouped && !g.hostNameGateways && !s.localOnly && g.applyTo("standby", s.name, p.cluster) {
			// A standby has no weight.
			p.value = fields("standby", true)
		}
		if len(s.versions) > 1 && g.applyTo("versions of a placement", s.name, p.cluster) {
			p.versions = s.versions[:1+g.intN(len(s.versions)-1, s.name, p.cluster, "versions")]
			p.value = append(p.value, member{"versions", stringList(p.versions)})
		}
		if g.applyTo("backend of a placement", s.name, p.cluster) {
			b := fields("serviceAccounts", stringList([]string{s.name + "-" + p.cluster}))
			if !g.grouped && !slices.ContainsFunc(s.hosts, func(h string) bool { return strings.HasSuffix(h, ".local") }) {
				b = append(b, member{"namespace", s.namespace + "-2"})
			}
			p.value = append(p.value, member{"backend", b})
		}
		if g.sharedNetwork && (len(s.versions) < 2 || len(p.versions) == 1) && g.applyTo("address of a placement", s.name, p.cluster) {
			p.value = append(p.value, member{"address", fmt.Sprintf("10.7.%d.%d", slices.Index(serviceNames, s.name), i+1)})
		}
		s.add(append(object{}, p.value...), "placement", p.cluster)
	}
}
