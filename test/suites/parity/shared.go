package parity

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const modulePath = "parity.example.com/mesh"

// root writes mesh.cue, the inventory, settings and externals.
func (m *maker) root() {
	f := m.file("mesh.cue")
	f.head = append([]string{"@experiment(explicitopen)"}, f.head...)
	f.imports["isthmus.dev/mesh"] = "mesh"
	f.top = append([]string{
		map[bool]string{false: "mesh.#Mesh", true: "mesh.#Mesh..."}[m.openMesh],
		"services: [string]: mesh.#Service",
		"clusters: [string]: mesh.#Cluster",
		"externals: [string]: mesh.#External",
		m.clusterField(),
	}, f.top...)
	if m.once("mesh through a definition") {
		f.top[0] = "#Corp: {mesh.#Mesh}\n#Corp"
	}
	if len(f.parts) == 0 && m.once("module under another name") {
		f.imports["isthmus.dev/mesh"] = "isthmus"
		for i, text := range f.top {
			f.top[i] = strings.ReplaceAll(text, "mesh.#", "isthmus.#")
		}
	}
	if m.once("settings in a file of their own") {
		f = m.file("settings.cue")
	}
	for _, s := range m.settings {
		f.add("settings: %s: %s", path(s.path...), m.write(s.value, "settings", s.path))
	}
	m.writeInventory()
	m.writeExternals()
}

func (m *maker) clusterField() string {
	if m.once("clusters listed in the tag's field") {
		var names []string
		for _, c := range m.clusters {
			names = append(names, fmt.Sprintf("%q", c.name))
		}
		return `cluster: *"" | ` + strings.Join(names, " | ") + ` @tag(cluster)`
	}
	return `cluster: *"" | string @tag(cluster)`
}

func (m *maker) writeInventory() {
	f := m.file("clusters.cue")
	if m.once("clusters by a comprehension") {
		names := make([]string, len(m.clusters))
		for i, c := range m.clusters {
			names[i] = fmt.Sprintf("%q", c.name)
		}
		f.add("_names: [%s]", strings.Join(names, ", "))
		f.add("clusters: {for c in _names {(c): region: string}}")
	}
	if m.once("default of all clusters") {
		f.add(`clusters: [C=string]: {region: string, istioClusterID: *"id-of-\(C)" | string}`)
	}
	for i, c := range m.clusters {
		into := f
		if m.on("cluster in a file of its own", c.name) {
			into = m.file("cluster-" + c.name + ".cue")
		}
		for _, field := range c.value(m) {
			if m.on("cluster split over declarations", c.name, field.key) {
				into.add("clusters: %s: %s", path(c.name, field.key), m.write(field.value, c.name, field.key))
				continue
			}
			into.add("clusters: {%s: {%s: %s}}", m.anyLabel(c.name, []any{c.name, i, field.key}), label(field.key), m.write(field.value, c.name, field.key))
		}
	}
}

func (m *maker) writeExternals() {
	for _, e := range m.externals {
		f := m.file("externals.cue")
		if m.on("external in a file of its own", e.name) {
			f = m.file(m.platform() + "external-" + e.name + ".cue")
		}
		for _, fa := range e.facts {
			f.add("externals: %s: %s", path(append([]string{e.name}, fa.path...)...), m.write(fa.value, e.name, strings.Join(fa.path, ".")))
		}
		if m.on("hidden field of an external", e.name) {
			f.add("externals: %s: _cost: %s", label(e.name), pick(m.dice, decimals, e.name, "cost"))
		}
	}
}

// patterns writes what all services have in common, or some, and takes it out of their manifests.
func (m *maker) patterns() {
	defaults := m.file("mesh.cue")
	if m.once("defaults in a file of their own") {
		defaults = m.file(m.platform() + "defaults.cue")
	}
	m.ownerPatterns(defaults)
	team := "platform"
	if m.turned("a shared default", 0) {
		team = "platform 2"
	}
	if m.once("default of all services") {
		defaults.add(`services: [string]: {traffic: outlierDetection: baseEjectionTime: *"30s" | string, owner: *%q | string}`, team)
		m.dropOwners()
	} else if m.once("default by the name") {
		defaults.add(`services: [N=string]: owner: *"%s \(N)" | string`, team)
		m.dropOwners()
	}
	if m.once("backend by the name") {
		var names []string
		for _, s := range m.services {
			if !s.kubernetes && s.namespace == s.name && !s.has("backend", "selector", "part-of") {
				names = append(names, regexp.QuoteMeta(s.name))
				s.remove("backend", "namespace")
				s.remove("backend", "selector")
			}
		}
		if len(names) > 0 {
			defaults.add(`services: [N= =~"^(%s)$"]: backend: {namespace: *N | string, selector: app: *N | string}`, strings.Join(names, "|"))
		}
	}
	if m.once("alias in a pattern") {
		defaults.add(`services: [N=string]: S={_key: "\(N) of \(S.owner)", #size: len(S.ports)}`)
	}
	if m.once("alias of a field in a pattern") {
		defaults.add(`services: [_]: {P=ports: {...}, _numbers: [for p in P {p.port}]}`)
	}
	if m.once("hidden tier by default") {
		defaults.add(`services: [string]: _tier: *"bronze" | string`)
	}
	if m.once("optional field in a pattern") {
		defaults.add(`services: [string]: {vip?: =~"^24", clusterHosts?: bool, #note?: string}`)
	}
	if m.once("check in a pattern") {
		defaults.add(`services: [N=string]: {owner: _, if owner == "nobody" {error("\(N) needs an owner")}}`)
	}
	if m.once("validator in a pattern") {
		defaults.add(`services: [string]: {owner: %[1]s.MinRunes(2), ports: %[2]s.MinFields(1), ports: [string]: port: <65536 & >0}`,
			m.importing(defaults, "strings"), m.importing(defaults, "struct"))
	}
	if m.once("matchN in a pattern") {
		defaults.add(`services: [string]: matchN(>=1, [{owner: string}, {owner: int}])`)
	}
	if m.once("cluster in a pattern") {
		defaults.add(`services: [string]: {if cluster == %q {traffic: connectionPool: tcp: maxConnections: *77 | int}}`, m.clusters[0].name)
	}
	if m.once("policy of the platform as a default") {
		defaults.add(`services: [string]: traffic: *{connectionPool: http: maxRetries: 9} | _`)
	}
	if m.once("comprehension in a pattern") {
		defaults.add(`services: [string]: traffic: connectionPool: http: {for k in ["http1MaxPendingRequests"] {(k): *61 | len([for c in clusters {c}])}}`)
	}
	if !m.layout.list && m.once("JSON embedded in a shared file") {
		f := m.file(m.platform() + "limits.cue")
		f.head = append(f.head, "@extern(embed)")
		f.add(`_limits: _ @embed(file="limits/http.json")` + "\n" + `services: [string]: traffic: connectionPool: http: maxRequestsPerConnection: *_limits.most | int`)
		m.data[folderOf(f.path)+"limits/http.json"] = "{\"most\": 50}\n"
	}
	if m.once("condition on a hidden field in a pattern") {
		defaults.add(`services: [string]: {_tier: *"bronze" | string, if _tier == "gold" {traffic: connectionPool: http: useClientProtocol: true}}`)
	}
	if m.once("labels by or") {
		defaults.add(`services: [or(["web", "cart", "api"])]: traffic: connectionPool: http: useClientProtocol: *false | bool`)
	}
	if m.once("matchIf in a pattern") {
		defaults.add(`services: [string]: matchIf({sidecar: true}, {owner: string}, {owner: !=""})`)
	}
	if m.once("ellipsis of services") {
		defaults.add(`services: {...}`)
	}
	if m.once("names like those of the module") {
		m.file("names.cue").add(`_own: {}, _all: {}, _rivals: {}, _checks: 1, _hosts: "x", _rendered: null, _callers: "nobody", #Service: {owner: 1}, #Meshes: [], _meshwide: false`)
	}
}

// ownerPatterns are constraints that only some names match.
func (m *maker) ownerPatterns(f *file) {
	if m.once("pattern by a regular expression") {
		f.add(`services: [=~"^(web|api)"]: traffic: outlierDetection: maxEjectionPercent: *30 | int`)
	}
	if m.once("pattern against a regular expression") {
		f.add(`services: [!~"^(web|api)"]: traffic: connectionPool: http: useClientProtocol: *false | bool`)
	}
	if m.once("pattern of two conditions") {
		f.add(`services: [=~"e" & !~"^web"]: traffic: connectionPool: http: http1MaxPendingRequests: *61 | int`)
	}
	if m.once("pattern of alternatives") {
		var names []string
		for _, s := range m.services[:(len(m.services)+1)/2] {
			names = append(names, fmt.Sprintf("%q", s.name))
		}
		f.add(`services: [%s]: traffic: outlierDetection: splitExternalLocalOriginErrors: *true | bool`, strings.Join(names, "|"))
	}
	if m.once("pattern in a folder below") {
		m.file(m.platform() + "hints.cue").add(`services: [=~"^(cart|checkout|ledger|orders)"]: traffic: connectionPool: http: http1MaxPendingRequests: *61 | int`)
	}
}

func (m *maker) dropOwners() {
	m.defaulted = true
	for _, s := range m.services {
		if m.chance(0.5, s.name, "owner from the default") {
			s.remove("owner")
		}
	}
}

// shareFacts replaces facts by references to shared values.
func (m *maker) shareFacts() {
	for _, s := range m.services {
		for i := range s.facts {
			fa := &s.facts[i]
			switch {
			case fa.path[0] == "owner" && m.on("team from a shared struct", s.name):
				m.sharedOnce("teams.cue", fmt.Sprintf(`_teams: %q: {title: %q, oncall: "\(title)@example.com"}`, s.owner, s.owner))
				to(fa, "_teams[%q].title", s.owner)
			case fa.path[0] == "ports" && m.on("port from a shared definition", s.name, fa.path[1]):
				m.port(s, fa)
			case fa.path[0] == "hosts" && len(s.hosts) == 1 && !strings.HasSuffix(s.hosts[0], ".local") && !s.has("perHost") && m.on("host from the settings", s.name):
				m.sharedOnce("mesh.cue", "settings: _")
				to(fa, `["%s.x.\(settings.domain)"]`, s.name)
			case strings.Join(fa.path, ".") == "backend.selector" && m.on("labels from a shared struct", s.name):
				m.sharedOnce("teams.cue", `_labels: {"app.example.com/managed": "true", region: _|_ | *"any"}`)
				to(fa, `{app: %q, for k, v in _labels {(k): v}}`, s.name)
			case strings.Join(fa.path, ".") == "authorization.allow" && m.on("principal from the inventory", s.name):
				to(fa, `["\(%s.trustDomain)/ns/monitoring/sa/prometheus"]`, in("clusters", m.clusters[0].name))
			}
		}
	}
}

func (m *maker) port(s *service, fa *fact) {
	p := s.ports[slices.IndexFunc(s.ports, func(p port) bool { return p.name == fa.path[1] })]
	definition := "#P" + strings.ToUpper(p.name)
	target := ""
	if p.target != 0 {
		target = fmt.Sprintf(", targetPort: *%d | int", p.target)
	}
	switch {
	case p.target == 7070: // changed
		return
	case m.chance(0.5, s.name, p.name, "port in a package"):
		m.count("definition of a package of the module")
		line := fmt.Sprintf("%s: {port: %d, protocol: %q%s}", definition, p.port, p.protocol, target)
		if !strings.Contains(m.data["lib/known/known.cue"], line) {
			m.library("known", line)
		}
		fa.value = expression("known." + definition)
	default:
		m.sharedOnce("teams.cue", fmt.Sprintf("%s: {port: %d, protocol: %q%s}", definition, p.port, p.protocol, target))
		fa.value = expression(definition)
	}
}

// imports completes files that came to refer to packages.
func (m *maker) imports() {
	for _, f := range m.files {
		for _, p := range f.parts {
			for i, fa := range p.facts {
				if e, ok := fa.value.(expression); ok && strings.HasPrefix(string(e), "known.") {
					p.facts[i].value = expression(m.with(f, modulePath+"/lib/known", string(e)))
				}
			}
		}
	}
}

// surroundings are files that change nothing.
func (m *maker) surroundings() {
	s := m.services[0]
	if m.once("file of a build tag that is not set") {
		f := m.file(m.platform() + "canary.cue")
		f.head = append(f.head, "@if(canary)")
		f.add(`services: %q: owner: "canary"`, s.name)
	}
	if m.once("file of a build tag that is negated") {
		f := m.file(m.platform() + "stable.cue")
		f.head = append(f.head, "@if(!canary && !dev)")
		f.add(`services: [string]: traffic: connectionPool: tcp: tcpKeepalive: probes: *3 | int`)
	}
	if m.once("file of a service with a build tag") {
		if files := m.withParts(); len(files) > 0 && files[0].path != "mesh.cue" {
			files[0].head = append(files[0].head, "@if(!canary)")
		}
	}
	if m.once("ignored file") {
		f := m.file(m.platform() + "ignored.cue")
		f.head = append(f.head, "@ignore()")
		f.add(`services: %q: owner: "ignored"`, s.name)
	}
	if m.once("file without a declaration") {
		m.file(m.platform() + "empty.cue").kept = true
	}
	if m.once("files that are not the mesh's") {
		m.data["services/x_tool.cue"] = fmt.Sprintf("package config\n\nservices: %q: owner: \"tool\"\n", s.name)
		m.data["services/x_test.cue"] = fmt.Sprintf("package config\n\nservices: %q: owner: \"test\"\n", s.name)
		m.data["services/_drafts/x.cue"] = "services: web: owner: 1\n"
		m.data["services/.hidden/x.cue"] = "package other\n\nservices: web: owner: 1\n"
		m.data["services/_x.cue"] = "x: {\n"
		m.data["services/README.md"] = "services: web: owner: 1\n"
	}
	if m.once("byte order mark") {
		m.file("clusters.cue").marked = true
	}
	if m.once("attribute of a file") {
		m.file("clusters.cue").add(`@corp(inventory)`)
	}
	if m.once("tags of other names") {
		m.file("tags.cue").add(`_env: *"prod" | "dev" @tag(env,short=prod|dev)`)
		m.file("tags.cue").add(`_build: *7 | int @tag(build,type=int)`)
	}
	if m.once("tag with a variable") {
		// Plain CUE injects it only with -T.
		m.file("tags.cue").add(`_when: *"never" | string @tag(when,var=now)`)
	}
	if m.once("package of cue.mod") {
		m.data["cue.mod/pkg/corp.example/std/std.cue"] = "package std\n\nRetries: *2 | int\n"
		m.data["cue.mod/gen/corp.example/gen/gen.cue"] = "package gen\n\nMost: 900\n"
		f := m.file("corp.cue")
		f.add(`services: [string]: traffic: {connectionPool: http: maxRetries: *%s.Retries | int, outlierDetection: consecutiveGatewayErrors: *%s.Most | int}`,
			m.importing(f, "corp.example/std"), m.importing(f, "corp.example/gen"))
	}
	if m.once("addition to the module by cue.mod/usr") {
		m.data["cue.mod/usr/isthmus.dev/mesh/corp.cue"] = "package mesh\n\n#Service: costCenter?: string\n#Settings: sidecarHosts: [...string]\n"
		m.file("corp.cue").add(`services: [=~"^[a-m]"]: costCenter: "cc-1"`)
	}
	if m.once("shared field that is in use nowhere") {
		m.file("names.cue").add(`_unused: {for c, _ in clusters {(c): [for d, _ in clusters if d != c {d}]}}`)
	}
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if m.on("another order of experiments", name) && !slices.Contains(m.files[name].head, "@experiment(explicitopen)") {
			m.files[name].head = append(m.files[name].head, "@experiment(explicitopen,shortcircuit)")
		}
	}
}
