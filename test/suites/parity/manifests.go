package parity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Ways to write a manifest that look at nothing but the service itself and what is shared.

// express rewrites the manifests, which stand as plain facts so far.
func (m *maker) express() {
	for _, f := range m.withParts() {
		for _, p := range f.parts {
			m.base(f, p)
			m.region(p)
			for i := range p.facts {
				m.wrap(f, p, &p.facts[i])
			}
			m.extras(f, p)
		}
	}
	for _, f := range m.withParts() {
		for _, p := range slices.Clone(f.parts) {
			m.split(f, p)
		}
	}
}

// way is how a fact may be written otherwise. It changes the fact, or says false if it cannot.
type way struct {
	feature string
	apply   func(m *maker, f *file, p *part, fa *fact, text, id string) bool
}

func to(fa *fact, format string, args ...any) bool {
	fa.value = expression(fmt.Sprintf(format, args...))
	return true
}

func scalar(v any) bool {
	_, isString := v.(string)
	_, isInt := v.(int)
	return isString || isInt
}

var ways = []way{
	{"let in a service", func(_ *maker, _ *file, p *part, fa *fact, text, id string) bool {
		p.more = append(p.more, "let l_"+id+" = "+text)
		return to(fa, "l_%s", id)
	}},
	{"let of a file", func(_ *maker, f *file, p *part, fa *fact, text, id string) bool {
		name := "f_" + strings.ReplaceAll(p.service.name, "-", "_") + "_" + id
		f.add("let %s = %s", name, text)
		return to(fa, "%s", name)
	}},
	{"hidden field in a service", func(_ *maker, _ *file, p *part, fa *fact, text, id string) bool {
		p.more = append(p.more, "_h_"+id+": "+text)
		return to(fa, "_h_%s", id)
	}},
	{"definition in a service", func(_ *maker, _ *file, p *part, fa *fact, text, id string) bool {
		if !scalar(fa.value) {
			return false // it would be closed
		}
		p.more = append(p.more, "#d_"+id+": "+text)
		return to(fa, "#d_%s", id)
	}},
	{"alias of a service", func(_ *maker, _ *file, p *part, fa *fact, text, id string) bool {
		p.alias = "Me_" + strings.ReplaceAll(p.service.name, "-", "_")
		p.more = append(p.more, "_a_"+id+": "+text)
		return to(fa, "%s._a_%s", p.alias, id)
	}},
	{"self", func(_ *maker, f *file, p *part, fa *fact, text, id string) bool {
		if !f.postfix || len(fa.path) > 1 {
			return false
		}
		p.more = append(p.more, "_s_"+id+": "+text)
		return to(fa, "self._s_%s", id)
	}},
	{"value in a shared struct", func(m *maker, _ *file, p *part, fa *fact, text, id string) bool {
		m.file("given.cue").add("_given: %s: %s", path(p.service.name, id), text)
		return to(fa, "%s", in(in("_given", p.service.name), id))
	}},
	{"value in a package of the module", func(m *maker, f *file, p *part, fa *fact, text, id string) bool {
		m.library("values", fmt.Sprintf("Values: %s: %s", path(p.service.name, id), text))
		return to(fa, "%s.%s", m.importing(f, modulePath+"/lib/values"), in(in("Values", p.service.name), id))
	}},
	{"embedded JSON", func(m *maker, f *file, p *part, fa *fact, _, id string) bool {
		return m.embed(f, p, fa, id, "json")
	}},
	{"embedded YAML", func(m *maker, f *file, p *part, fa *fact, _, id string) bool {
		return m.embed(f, p, fa, id, "yaml")
	}},
	{"embedded files by a glob", func(m *maker, f *file, p *part, fa *fact, _, id string) bool {
		name := m.datum(f, p, fa, id, "json")
		if name == "" {
			return false
		}
		file := strings.TrimPrefix(name, folderOf(f.path))
		folder := file[:strings.LastIndex(file, "/")+1]
		more := fmt.Sprintf("_g: _ @embed(glob=%s*.json)", folder)
		if !slices.Contains(p.more, more) {
			p.more = append(p.more, more)
		}
		return to(fa, "_g[%q]", file)
	}},
	{"first of a list", func(_ *maker, _ *file, _ *part, fa *fact, text, _ string) bool {
		return to(fa, "[if len(clusters) > 99 {_|_}, %s][0]", text)
	}},
	{"field of a literal", func(_ *maker, _ *file, _ *part, fa *fact, text, _ string) bool {
		return to(fa, "{v: %s}.v", text)
	}},
	{"unified with itself", func(_ *maker, _ *file, _ *part, fa *fact, text, _ string) bool {
		return to(fa, "(%s & _ & %s)", text, text)
	}},
	{"default of a disjunction", func(m *maker, _ *file, _ *part, fa *fact, text, _ string) bool {
		if m.defaulted && fa.path[0] == "owner" {
			return false // two defaults are none
		}
		switch fa.value.(type) {
		case string:
			return to(fa, "*%s | \"other\" | string", text)
		case int:
			return to(fa, "*%s | int", text)
		case object:
			return to(fa, "*%s | _", text)
		}
		return false
	}},
	{"tag with a default", func(m *maker, _ *file, p *part, fa *fact, text, id string) bool {
		if _, ok := fa.value.(string); !ok || len(fa.path) > 1 || m.defaulted {
			return false
		}
		return to(fa, "*%s | string @tag(t_%s)", text, strings.ReplaceAll(p.service.name, "-", "_")+"_"+id)
	}},
	{"standard package", func(m *maker, f *file, _ *part, fa *fact, text, _ string) bool {
		switch fa.value.(type) {
		case string:
			return to(fa, "%s.Join([%s], \"\")", m.importing(f, "strings"), text)
		case []any:
			return to(fa, "%s.Concat([%s, []])", m.importing(f, "list"), text)
		case object:
			return to(fa, "%s.Unmarshal(%s.Marshal(%s))", m.importing(f, "encoding/json"), m.importing(f, "encoding/json"), text)
		}
		return false
	}},
	{"function of a literal", func(_ *maker, _ *file, _ *part, fa *fact, text, _ string) bool {
		return to(fa, "({in: _, out: {in}} & {in: {v: %s}}).out.v", text)
	}},
	{"comprehension of fields", func(_ *maker, _ *file, _ *part, fa *fact, text, _ string) bool {
		if _, ok := fa.value.(object); !ok {
			return false
		}
		return to(fa, "{for k, v in %s let w = v {(k): w}}", text)
	}},
	{"try", func(_ *maker, f *file, _ *part, fa *fact, text, _ string) bool {
		if _, ok := fa.value.(object); !ok {
			return false
		}
		if !slices.Contains(f.head, "@experiment(try)") {
			f.head = append(f.head, "@experiment(try)")
		}
		return to(fa, "{let given = {v: %s}\ntry {given.v?}}", text)
	}},
}

// wrap writes a fact in one of the ways, sometimes.
func (m *maker) wrap(f *file, p *part, fa *fact) {
	if _, done := fa.value.(expression); done {
		return
	}
	key := []any{p.service.name, strings.Join(fa.path, ".")}
	id := strings.NewReplacer("-", "_", ".", "_").Replace(strings.Join(fa.path, "_"))
	for _, w := range shuffled(m.dice, ways, at(key, "ways")...) {
		if !m.has(w.feature) || !m.chance(0.3, at(key, w.feature)...) {
			continue
		}
		if w.apply(m, f, p, fa, m.write(fa.value, key...), id) {
			m.count(w.feature)
			return
		}
	}
}

// library adds to a package of the module.
func (m *maker) library(name, line string) {
	file := "lib/" + name + "/" + name + ".cue"
	if m.data[file] == "" {
		m.data[file] = "package " + name + "\n\n"
	}
	m.data[file] += line + "\n"
}

// datum puts a fact into a file that is no CUE, and returns the file, "" if that is not possible.
func (m *maker) datum(f *file, p *part, fa *fact, id, kind string) string {
	text, ok := jsonOf(fa.value)
	if !ok || m.layout.list {
		return "" // CUE embeds nothing into files that it was given by name.
	}
	if head := "@extern(embed)"; !slices.Contains(f.head, head) {
		f.head = append(f.head, head)
	}
	if kind == "yaml" {
		text = "# the same in YAML\n&anchor " + text
	}
	name := folderOf(f.path) + "data/" + p.service.name + "/" + id + "." + kind
	m.data[name] = text + "\n"
	return name
}

func (m *maker) embed(f *file, p *part, fa *fact, id, kind string) bool {
	name := m.datum(f, p, fa, id, kind)
	if name == "" {
		return false
	}
	return to(fa, "_ @embed(file=%q)", strings.TrimPrefix(name, folderOf(f.path)))
}

// base lets a manifest build on a shared one.
func (m *maker) base(f *file, p *part) {
	id := strings.ReplaceAll(p.service.name, "-", "_")
	hidden := `_base: {backend: {serviceAccounts: [...string], ...}, traffic: connectionPool: tcp: connectTimeout: *"10s" | string, ...}`
	switch {
	case m.on("shared base", p.service.name):
		m.sharedOnce("bases.cue", hidden)
		p.opening = "_base & "
	case m.on("shared definition", p.service.name):
		m.sharedOnce("bases.cue", `#Base: {owner?: string, traffic: {connectionPool: {tcp: {connectTimeout: *"20s" | string, ...}, ...}, ...}, ...}`)
		p.more = append(p.more, "#Base")
	case m.on("schema in a package of the module", p.service.name):
		m.data["lib/kinds/kinds.cue"] = "package kinds\n\nimport \"isthmus.dev/mesh\"\n\n" +
			"#Plain: mesh.#Service & {traffic: outlierDetection: splitExternalLocalOriginErrors: *true | bool}\n"
		p.opening = m.importing(f, modulePath+"/lib/kinds") + ".#Plain & "
	case m.on("schema named in a manifest", p.service.name):
		mesh := m.importing(f, "isthmus.dev/mesh")
		p.opening = mesh + ".#Service & "
		p.more = append(p.more, "_port: 80 & "+mesh+".#PortNumber")
	case m.on("nested bases", p.service.name):
		m.sharedOnce("bases.cue", hidden)
		m.file("bases.cue").add(`_tcp_%s: _base & {traffic: connectionPool: tcp: connectTimeout: "7s"}`, id)
		p.opening = "_tcp_" + id + " & "
	}
}

// region writes the placement in all clusters of a region.
func (m *maker) region(p *part) {
	region := p.service.byRegion
	if region == "" {
		return
	}
	eu := strconv.Quote(region)
	switch {
	case m.on("clusters from a shared struct", p.service.name):
		m.count("comprehension over clusters")
		m.sharedOnce("places.cue", `_in: {for c, t in clusters {(t.region): (c): {}}}`)
		p.facts = append(p.facts, fact{[]string{"placement"}, expression(in("_in", region))})
	case m.on("clusters in a shared pattern", p.service.name):
		m.count("comprehension over clusters")
		m.layout.rooted = true
		m.file("places.cue").add(`services: %q: _`, p.service.name)
		m.file("places.cue").add("services: [=~\"^%s$\"]: placement: {for c, t in clusters if t.region == %s {(c): _}}", p.service.name, eu)
	case m.on("clusters by a let", p.service.name):
		p.facts = append(p.facts, fact{[]string{"placement"}, expression(`{for c, t in clusters let r = t.region if r == ` + eu + ` {"\(c)": {}}}`)})
	default:
		m.count("comprehension over clusters")
		p.facts = append(p.facts, fact{[]string{"placement"}, expression(`{for c, t in clusters if t.region == ` + eu + ` {(c): {}}}`)})
	}
}

// sharedOnce adds a declaration to a file that does not have it yet.
func (m *maker) sharedOnce(file, text string) {
	if f := m.file(file); !slices.Contains(f.top, text) {
		f.top = append(f.top, text)
	}
}

// extras are declarations beside what the manifest has to say.
func (m *maker) extras(f *file, p *part) {
	s := p.service
	add := func(format string, args ...any) { p.more = append(p.more, fmt.Sprintf(format, args...)) }
	here := m.clusters[0].name
	if m.on("hidden tier", s.name) {
		add(`_tier: %q`, pick(m.dice, []string{"gold", "silver"}, s.name, "tier"))
	}
	if m.on("definition in a manifest", s.name) {
		add(`#slo: {objective: %s, window: "30d"}`, pick(m.dice, decimals, s.name, "slo"))
	}
	if m.on("choice that a template narrows", s.name) {
		add(`_class: *"bronze" | "iron"`)
	}
	if m.on("incomplete hidden field", s.name) {
		add(`_later: string`)
	}
	if m.on("optional field", s.name) {
		add(`expose?: port?: =~"^[a-z]"`)
		add(`#note?: string`)
	}
	if m.on("manifest that depends on the cluster", s.name) {
		cluster := "cluster"
		switch {
		case m.on("tag in a manifest", s.name):
			add(`_here: *"" | string @tag(cluster)`)
			cluster = "_here"
		case m.on("tag in a shared file", s.name):
			m.sharedOnce("places.cue", `_there: *"" | string @tag(cluster,type=string)`)
			cluster = "_there"
		case m.on("cluster through a shared field", s.name):
			m.sharedOnce("places.cue", fmt.Sprintf(`_isHere: cluster == %q`, here))
			m.sharedOnce("places.cue", fmt.Sprintf(`_at: [if _isHere {%q}, ""][0]`, here))
			cluster = "_at"
		}
		add(`if %s == %q {traffic: connectionPool: http: maxRetries: 4}`, cluster, here)
	}
	if callee := m.stranger(s); callee != nil && m.on("call that depends on the cluster", s.name) {
		add(`if cluster == %q {egress: %s: {}}`, here, label(callee.name))
	}
	if m.simple(s) && m.on("placement that depends on the cluster", s.name) {
		add(`if cluster == %q {placement: %s: _}`, here, label(here))
	}
	if m.on("settings in a manifest", s.name) {
		m.sharedOnce("mesh.cue", "settings: _")
		add(`traffic: connectionPool: tcp: tcpKeepalive: time: "\(len(settings.domain)+100)s"`)
	}
	if m.on("inventory in a manifest", s.name) {
		add(`traffic: connectionPool: tcp: idleTimeout: "\(len([for c, _ in clusters {c}])+len(%s.region))h"`, in("clusters", here))
	}
	if len(m.externals) > 0 && m.on("externals in a manifest", s.name) {
		add(`_upstream: %s.hosts[0]`, in("externals", m.externals[0].name))
	}
	if m.on("else", s.name) {
		if !slices.Contains(f.head, "@experiment(try)") {
			f.head = append(f.head, "@experiment(try)")
		}
		add(`if cluster == %q {_role: "here"} else {_role: "there"}`, here)
		add(`for c, t in clusters if t.region == "nowhere" {_any: true} fallback {traffic: outlierDetection: minHealthPercent: 6}`)
	}
	if m.on("null in a manifest", s.name) {
		add(`_nothing: null`)
	}
	if m.on("check of its own", s.name) {
		add(`owner: !="" & !~"^nobody$"`)
	}
	if m.on("big number", s.name) {
		add(`_big: 123456789012345678901234567890.50`)
	}
	if m.on("bytes in a manifest", s.name) {
		add(`_bytes: 'b\xc3\xbctes'`)
	}
}

// stranger is a service that this one might call, and does not.
func (m *maker) stranger(s *service) *service {
	for _, c := range m.services {
		if c != s && !slices.Contains(s.calls, c.name) && !c.localOnly && !c.has("authorization", "callers") && m.mayCall(s, c) && !m.multi {
			return c
		}
	}
	return nil
}

// simple services may run in one more cluster.
func (m *maker) simple(s *service) bool {
	if s.byRegion != "" || s.localOnly || m.multi || m.calls != nil || s.in(m.clusters[0].name) || len(s.versions) > 0 {
		return false
	}
	for _, p := range s.placements {
		if len(p.value) > 0 {
			return false
		}
	}
	for _, callee := range s.calls {
		if c := m.find(callee); c != nil && c.localOnly {
			return false
		}
	}
	return len(s.placements) > 0
}

// split moves some of a manifest to files of others.
func (m *maker) split(f *file, p *part) {
	move := func(file string, first string) {
		var kept, moved []fact
		for _, fa := range p.facts {
			_, plain := fa.value.(object)
			if fa.path[0] == first && plain {
				moved = append(moved, fa)
			} else {
				kept = append(kept, fa)
			}
		}
		if len(moved) == 0 {
			return
		}
		p.facts = kept
		other := m.file(file)
		other.parts = append(other.parts, &part{service: p.service, facts: moved})
	}
	if m.on("placement in a file of the platform", p.service.name) {
		move(m.platform()+"placement.cue", "placement")
	}
	if m.on("service split over two files", p.service.name) {
		move(folderOf(f.path)+p.service.name+"-ports.cue", "ports")
	}
	if m.on("calls in a file of all calls", p.service.name) {
		move(m.platform()+"calls.cue", "egress")
	}
	if m.on("said twice", p.service.name) {
		other := m.file(m.platform() + "again.cue")
		other.parts = append(other.parts, &part{service: p.service, facts: []fact{{[]string{"backend", "namespace"}, p.service.namespace}}})
	}
	if m.on("choice that another file makes", p.service.name) {
		p.more = append(p.more, `traffic: connectionPool: http: h2UpgradePolicy: "UPGRADE" | "DO_NOT_UPGRADE"`)
		other := m.file(m.platform() + "choices.cue")
		other.parts = append(other.parts, &part{service: p.service, more: []string{`traffic: connectionPool: http: h2UpgradePolicy: "DO_NOT_UPGRADE"`}})
	}
	if m.on("default that another file overrules", p.service.name) {
		p.more = append(p.more, `traffic: connectionPool: tcp: maxConnectionDuration: *"3h" | string`, `_twice: traffic.connectionPool.tcp.maxConnectionDuration`, `traffic: _`)
		other := m.file(m.platform() + "choices.cue")
		other.parts = append(other.parts, &part{service: p.service, more: []string{`traffic: connectionPool: tcp: maxConnectionDuration: "4h"`}})
	}
	if m.on("mentioned elsewhere", p.service.name) {
		other := m.file(m.platform() + "mentions.cue")
		other.parts = append(other.parts, &part{service: p.service, more: []string{"owner: _"}})
	}
}
