package parity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// varyManifests rewrites the plain manifests with features that read only the service itself and
// shared files.
func (g *generator) varyManifests() {
	for _, f := range g.serviceFiles() {
		for _, p := range f.parts {
			g.addBase(f, p)
			g.writeRegion(p)
			for i := range p.assignments {
				g.rewriteField(f, p, &p.assignments[i])
			}
			g.addExtras(f, p)
		}
	}
	for _, f := range g.serviceFiles() {
		for _, p := range slices.Clone(f.parts) {
			g.splitManifest(f, p)
		}
	}
}

// addBase unifies a manifest with a shared one.
func (g *generator) addBase(f *file, p *part) {
	id := strings.ReplaceAll(p.service.name, "-", "_")
	hidden := `_base: {backend: {serviceAccounts: [...string], ...}, traffic: connectionPool: tcp: connectTimeout: *"10s" | string, ...}`
	switch {
	case g.applyTo("shared base", p.service.name):
		g.addOnce("bases.cue", hidden)
		p.base = "_base & "
	case g.applyTo("shared definition", p.service.name):
		g.addOnce("bases.cue", `#Base: {owner?: string, traffic: {connectionPool: {tcp: {connectTimeout: *"20s" | string, ...}, ...}, ...}, ...}`)
		p.more = append(p.more, "#Base")
	case g.applyTo("schema in a package of the module", p.service.name):
		g.data["lib/kinds/kinds.cue"] = "package kinds\n\nimport \"isthmus.dev/mesh\"\n\n" +
			"#Plain: mesh.#Service & {traffic: outlierDetection: splitExternalLocalOriginErrors: *true | bool}\n"
		p.base = g.importName(f, modulePath+"/lib/kinds") + ".#Plain & "
	case g.applyTo("schema named in a manifest", p.service.name):
		mesh := g.importName(f, "isthmus.dev/mesh")
		p.base = mesh + ".#Service & "
		p.more = append(p.more, "_port: 80 & "+mesh+".#PortNumber")
	case g.applyTo("nested bases", p.service.name):
		g.addOnce("bases.cue", hidden)
		g.file("bases.cue").add(`_tcp_%s: _base & {traffic: connectionPool: tcp: connectTimeout: "7s"}`, id)
		p.base = "_tcp_" + id + " & "
	}
}

// writeRegion writes the placement in all clusters of a region.
func (g *generator) writeRegion(p *part) {
	region := p.service.region
	if region == "" {
		return
	}
	eu := strconv.Quote(region)
	switch {
	case g.applyTo("clusters from a shared struct", p.service.name):
		g.countFeature("comprehension over clusters")
		g.addOnce("places.cue", `_in: {for c, t in clusters {(t.region): (c): {}}}`)
		p.assignments = append(p.assignments, assignment{[]string{"placement"}, expression(fieldRef("_in", region))})
	case g.applyTo("clusters in a shared pattern", p.service.name):
		g.countFeature("comprehension over clusters")
		g.layout.servicesInRoot = true
		g.file("places.cue").add(`services: %q: _`, p.service.name)
		g.file("places.cue").add("services: [=~\"^%s$\"]: placement: {for c, t in clusters if t.region == %s {(c): _}}", p.service.name, eu)
	case g.applyTo("clusters by a let", p.service.name):
		p.assignments = append(p.assignments, assignment{[]string{"placement"}, expression(`{for c, t in clusters let r = t.region if r == ` + eu + ` {"\(c)": {}}}`)})
	default:
		g.countFeature("comprehension over clusters")
		p.assignments = append(p.assignments, assignment{[]string{"placement"}, expression(`{for c, t in clusters if t.region == ` + eu + ` {(c): {}}}`)})
	}
}

// addOnce adds a declaration to a file if the file does not have it.
func (g *generator) addOnce(file, text string) {
	if f := g.file(file); !slices.Contains(f.top, text) {
		f.top = append(f.top, text)
	}
}

// addExtras adds optional declarations to a manifest.
func (g *generator) addExtras(f *file, p *part) {
	s := p.service
	add := func(format string, args ...any) { p.more = append(p.more, fmt.Sprintf(format, args...)) }
	here := g.clusters[0].name
	if g.applyTo("hidden tier", s.name) {
		add(`_tier: %q`, pick(g.random, []string{"gold", "silver"}, s.name, "tier"))
	}
	if g.applyTo("definition in a manifest", s.name) {
		add(`#slo: {objective: %s, window: "30d"}`, pick(g.random, decimals, s.name, "slo"))
	}
	if g.applyTo("choice that a template narrows", s.name) {
		add(`_class: *"bronze" | "iron"`)
	}
	if g.applyTo("incomplete hidden field", s.name) {
		add(`_later: string`)
	}
	if g.applyTo("optional field", s.name) {
		add(`expose?: port?: =~"^[a-z]"`)
		add(`#note?: string`)
	}
	if g.applyTo("manifest that depends on the cluster", s.name) {
		cluster := "cluster"
		switch {
		case g.applyTo("tag in a manifest", s.name):
			add(`_here: *"" | string @tag(cluster)`)
			cluster = "_here"
		case g.applyTo("tag in a shared file", s.name):
			g.addOnce("places.cue", `_there: *"" | string @tag(cluster,type=string)`)
			cluster = "_there"
		case g.applyTo("cluster through a shared field", s.name):
			g.addOnce("places.cue", fmt.Sprintf(`_isHere: cluster == %q`, here))
			g.addOnce("places.cue", fmt.Sprintf(`_at: [if _isHere {%q}, ""][0]`, here))
			cluster = "_at"
		}
		add(`if %s == %q {traffic: connectionPool: http: maxRetries: 4}`, cluster, here)
	}
	if callee := g.newCallee(s); callee != nil && g.applyTo("call that depends on the cluster", s.name) {
		add(`if cluster == %q {egress: %s: {}}`, here, label(callee.name))
	}
	if g.mayRunInAnotherCluster(s) && g.applyTo("placement that depends on the cluster", s.name) {
		add(`if cluster == %q {placement: %s: _}`, here, label(here))
	}
	if g.applyTo("settings in a manifest", s.name) {
		g.addOnce("mesh.cue", "settings: _")
		add(`traffic: connectionPool: tcp: tcpKeepalive: time: "\(len(settings.domain)+100)s"`)
	}
	if g.applyTo("inventory in a manifest", s.name) {
		add(`traffic: connectionPool: tcp: idleTimeout: "\(len([for c, _ in clusters {c}])+len(%s.region))h"`, fieldRef("clusters", here))
	}
	if len(g.externals) > 0 && g.applyTo("externals in a manifest", s.name) {
		add(`_upstream: %s.hosts[0]`, fieldRef("externals", g.externals[0].name))
	}
	if g.applyTo("else", s.name) {
		if !slices.Contains(f.head, "@experiment(try)") {
			f.head = append(f.head, "@experiment(try)")
		}
		add(`if cluster == %q {_role: "here"} else {_role: "there"}`, here)
		add(`for c, t in clusters if t.region == "nowhere" {_any: true} fallback {traffic: outlierDetection: minHealthPercent: 6}`)
	}
	if g.applyTo("null in a manifest", s.name) {
		add(`_nothing: null`)
	}
	if g.applyTo("check of its own", s.name) {
		add(`owner: !="" & !~"^nobody$"`)
	}
	if g.applyTo("big number", s.name) {
		add(`_big: 123456789012345678901234567890.50`)
	}
	if g.applyTo("bytes in a manifest", s.name) {
		add(`_bytes: 'b\xc3\xbctes'`)
	}
}

// newCallee is a service that this one may call and does not call, nil if there is none.
func (g *generator) newCallee(s *service) *service {
	for _, c := range g.services {
		if c != s && !slices.Contains(s.calls, c.name) && !c.localOnly && !c.has("authorization", "callers") && g.tiersAllow(s, c) && !g.grouped {
			return c
		}
	}
	return nil
}

// mayRunInAnotherCluster reports whether the first cluster can be added to the placement.
func (g *generator) mayRunInAnotherCluster(s *service) bool {
	if s.region != "" || s.localOnly || g.grouped || g.tierCalls != nil || s.runsIn(g.clusters[0].name) || len(s.versions) > 0 {
		return false
	}
	for _, p := range s.placements {
		if len(p.value) > 0 {
			return false
		}
	}
	for _, callee := range s.calls {
		if c := g.find(callee); c != nil && c.localOnly {
			return false
		}
	}
	return len(s.placements) > 0
}

// splitManifest moves parts of a manifest to other files.
func (g *generator) splitManifest(f *file, p *part) {
	move := func(file string, first string) {
		var kept, moved []assignment
		for _, a := range p.assignments {
			_, plain := a.value.(object)
			if a.path[0] == first && plain {
				moved = append(moved, a)
			} else {
				kept = append(kept, a)
			}
		}
		if len(moved) == 0 {
			return
		}
		p.assignments = kept
		other := g.file(file)
		other.parts = append(other.parts, &part{service: p.service, assignments: moved})
	}
	if g.applyTo("placement in a file of the platform", p.service.name) {
		move(g.platformFolder()+"placement.cue", "placement")
	}
	if g.applyTo("service split over two files", p.service.name) {
		move(folderOf(f.path)+p.service.name+"-ports.cue", "ports")
	}
	if g.applyTo("calls in a file of all calls", p.service.name) {
		move(g.platformFolder()+"calls.cue", "egress")
	}
	if g.applyTo("said twice", p.service.name) {
		other := g.file(g.platformFolder() + "again.cue")
		other.parts = append(other.parts, &part{service: p.service, assignments: []assignment{{[]string{"backend", "namespace"}, p.service.namespace}}})
	}
	if g.applyTo("choice that another file makes", p.service.name) {
		p.more = append(p.more, `traffic: connectionPool: http: h2UpgradePolicy: "UPGRADE" | "DO_NOT_UPGRADE"`)
		other := g.file(g.platformFolder() + "choices.cue")
		other.parts = append(other.parts, &part{service: p.service, more: []string{`traffic: connectionPool: http: h2UpgradePolicy: "DO_NOT_UPGRADE"`}})
	}
	if g.applyTo("default that another file overrules", p.service.name) {
		p.more = append(p.more, `traffic: connectionPool: tcp: maxConnectionDuration: *"3h" | string`, `_twice: traffic.connectionPool.tcp.maxConnectionDuration`, `traffic: _`)
		other := g.file(g.platformFolder() + "choices.cue")
		other.parts = append(other.parts, &part{service: p.service, more: []string{`traffic: connectionPool: tcp: maxConnectionDuration: "4h"`}})
	}
	if g.applyTo("mentioned elsewhere", p.service.name) {
		other := g.file(g.platformFolder() + "mentions.cue")
		other.parts = append(other.parts, &part{service: p.service, more: []string{"owner: _"}})
	}
}
