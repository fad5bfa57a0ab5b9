package parity

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const modulePath = "parity.example.com/mesh"

// writeRoot writes mesh.cue, the inventory, the settings and the externals.
func (g *generator) writeRoot() {
	f := g.file("mesh.cue")
	f.head = append([]string{"@experiment(explicitopen)"}, f.head...)
	f.imports["isthmus.dev/mesh"] = "mesh"
	f.top = append([]string{
		map[bool]string{false: "mesh.#Mesh", true: "mesh.#Mesh..."}[g.openMesh],
		"services: [string]: mesh.#Service",
		"clusters: [string]: mesh.#Cluster",
		"externals: [string]: mesh.#External",
		g.clusterTag(),
	}, f.top...)
	if g.apply("mesh through a definition") {
		f.top[0] = "#Corp: {mesh.#Mesh}\n#Corp"
	}
	if len(f.parts) == 0 && g.apply("module under another name") {
		f.imports["isthmus.dev/mesh"] = "isthmus"
		for i, text := range f.top {
			f.top[i] = strings.ReplaceAll(text, "mesh.#", "isthmus.#")
		}
	}
	if g.apply("settings in a file of their own") {
		f = g.file("settings.cue")
	}
	for _, s := range g.settings {
		f.add("settings: %s: %s", path(s.path...), g.literal(s.value, "settings", s.path))
	}
	g.writeInventory()
	g.writeExternals()
}

func (g *generator) clusterTag() string {
	if g.apply("clusters listed in the tag's field") {
		var names []string
		for _, c := range g.clusters {
			names = append(names, fmt.Sprintf("%q", c.name))
		}
		return `cluster: *"" | ` + strings.Join(names, " | ") + ` @tag(cluster)`
	}
	return `cluster: *"" | string @tag(cluster)`
}

func (g *generator) writeInventory() {
	f := g.file("clusters.cue")
	if g.apply("clusters by a comprehension") {
		names := make([]string, len(g.clusters))
		for i, c := range g.clusters {
			names[i] = fmt.Sprintf("%q", c.name)
		}
		f.add("_names: [%s]", strings.Join(names, ", "))
		f.add("clusters: {for c in _names {(c): region: string}}")
	}
	if g.apply("default of all clusters") {
		f.add(`clusters: [C=string]: {region: string, istioClusterID: *"id-of-\(C)" | string}`)
	}
	for i, c := range g.clusters {
		into := f
		if g.applyTo("cluster in a file of its own", c.name) {
			into = g.file("cluster-" + c.name + ".cue")
		}
		for _, field := range c.value(g) {
			if g.applyTo("cluster split over declarations", c.name, field.key) {
				into.add("clusters: %s: %s", path(c.name, field.key), g.literal(field.value, c.name, field.key))
				continue
			}
			into.add("clusters: {%s: {%s: %s}}", g.anyLabel(c.name, []any{c.name, i, field.key}), label(field.key), g.literal(field.value, c.name, field.key))
		}
	}
}

func (g *generator) writeExternals() {
	for _, e := range g.externals {
		f := g.file("externals.cue")
		if g.applyTo("external in a file of its own", e.name) {
			f = g.file(g.platformFolder() + "external-" + e.name + ".cue")
		}
		for _, a := range e.assignments {
			f.add("externals: %s: %s", path(append([]string{e.name}, a.path...)...), g.literal(a.value, e.name, strings.Join(a.path, ".")))
		}
		if g.applyTo("hidden field of an external", e.name) {
			f.add("externals: %s: _cost: %s", label(e.name), pick(g.random, decimals, e.name, "cost"))
		}
	}
}

// writePatterns writes constraints and defaults of all or some services, and removes the defaults
// from manifests.
func (g *generator) writePatterns() {
	defaults := g.file("mesh.cue")
	if g.apply("defaults in a file of their own") {
		defaults = g.file(g.platformFolder() + "defaults.cue")
	}
	g.writeNamePatterns(defaults)
	team := "platform"
	if g.isChanged("a shared default", 0) {
		team = "platform 2"
	}
	if g.apply("default of all services") {
		defaults.add(`services: [string]: {traffic: outlierDetection: baseEjectionTime: *"30s" | string, owner: *%q | string}`, team)
		g.removeOwners()
	} else if g.apply("default by the name") {
		defaults.add(`services: [N=string]: owner: *"%s \(N)" | string`, team)
		g.removeOwners()
	}
	if g.apply("backend by the name") {
		var names []string
		for _, s := range g.services {
			if !s.kubernetesService && s.namespace == s.name && !s.has("backend", "selector", "part-of") {
				names = append(names, regexp.QuoteMeta(s.name))
				s.remove("backend", "namespace")
				s.remove("backend", "selector")
			}
		}
		if len(names) > 0 {
			defaults.add(`services: [N= =~"^(%s)$"]: backend: {namespace: *N | string, selector: app: *N | string}`, strings.Join(names, "|"))
		}
	}
	if g.apply("alias in a pattern") {
		defaults.add(`services: [N=string]: S={_key: "\(N) of \(S.owner)", #size: len(S.ports)}`)
	}
	if g.apply("alias of a field in a pattern") {
		defaults.add(`services: [_]: {P=ports: {...}, _numbers: [for p in P {p.port}]}`)
	}
	if g.apply("hidden tier by default") {
		defaults.add(`services: [string]: _tier: *"bronze" | string`)
	}
	if g.apply("optional field in a pattern") {
		defaults.add(`services: [string]: {vip?: =~"^24", clusterHosts?: bool, #note?: string}`)
	}
	if g.apply("check in a pattern") {
		defaults.add(`services: [N=string]: {owner: _, if owner == "nobody" {error("\(N) needs an owner")}}`)
	}
	if g.apply("validator in a pattern") {
		defaults.add(`services: [string]: {owner: %[1]s.MinRunes(2), ports: %[2]s.MinFields(1), ports: [string]: port: <65536 & >0}`,
			g.importName(defaults, "strings"), g.importName(defaults, "struct"))
	}
	if g.apply("matchN in a pattern") {
		defaults.add(`services: [string]: matchN(>=1, [{owner: string}, {owner: int}])`)
	}
	if g.apply("cluster in a pattern") {
		defaults.add(`services: [string]: {if cluster == %q {traffic: connectionPool: tcp: maxConnections: *77 | int}}`, g.clusters[0].name)
	}
	if g.apply("policy of the platform as a default") {
		defaults.add(`services: [string]: traffic: *{connectionPool: http: maxRetries: 9} | _`)
	}
	if g.apply("comprehension in a pattern") {
		defaults.add(`services: [string]: traffic: connectionPool: http: {for k in ["http1MaxPendingRequests"] {(k): *61 | len([for c in clusters {c}])}}`)
	}
	if !g.layout.fileList && g.apply("JSON embedded in a shared file") {
		f := g.file(g.platformFolder() + "limits.cue")
		f.head = append(f.head, "@extern(embed)")
		f.add(`_limits: _ @embed(file="limits/http.json")` + "\n" + `services: [string]: traffic: connectionPool: http: maxRequestsPerConnection: *_limits.most | int`)
		g.data[folderOf(f.path)+"limits/http.json"] = "{\"most\": 50}\n"
	}
	if g.apply("condition on a hidden field in a pattern") {
		defaults.add(`services: [string]: {_tier: *"bronze" | string, if _tier == "gold" {traffic: connectionPool: http: useClientProtocol: true}}`)
	}
	if g.apply("labels by or") {
		defaults.add(`services: [or(["web", "cart", "api"])]: traffic: connectionPool: http: useClientProtocol: *false | bool`)
	}
	if g.apply("matchIf in a pattern") {
		defaults.add(`services: [string]: matchIf({sidecar: true}, {owner: string}, {owner: !=""})`)
	}
	if g.apply("ellipsis of services") {
		defaults.add(`services: {...}`)
	}
	if g.apply("names like those of the module") {
		g.file("names.cue").add(`_own: {}, _all: {}, _rivals: {}, _checks: 1, _hosts: "x", _rendered: null, _callers: "nobody", #Service: {owner: 1}, #Meshes: [], _meshwide: false`)
	}
}

// writeNamePatterns writes constraints of services with certain names.
func (g *generator) writeNamePatterns(f *file) {
	if g.apply("pattern by a regular expression") {
		f.add(`services: [=~"^(web|api)"]: traffic: outlierDetection: maxEjectionPercent: *30 | int`)
	}
	if g.apply("pattern against a regular expression") {
		f.add(`services: [!~"^(web|api)"]: traffic: connectionPool: http: useClientProtocol: *false | bool`)
	}
	if g.apply("pattern of two conditions") {
		f.add(`services: [=~"e" & !~"^web"]: traffic: connectionPool: http: http1MaxPendingRequests: *61 | int`)
	}
	if g.apply("pattern of alternatives") {
		var names []string
		for _, s := range g.services[:(len(g.services)+1)/2] {
			names = append(names, fmt.Sprintf("%q", s.name))
		}
		f.add(`services: [%s]: traffic: outlierDetection: splitExternalLocalOriginErrors: *true | bool`, strings.Join(names, "|"))
	}
	if g.apply("pattern in a folder below") {
		g.file(g.platformFolder() + "hints.cue").add(`services: [=~"^(cart|checkout|ledger|orders)"]: traffic: connectionPool: http: http1MaxPendingRequests: *61 | int`)
	}
}

func (g *generator) removeOwners() {
	g.defaultOwners = true
	for _, s := range g.services {
		if g.chance(0.5, s.name, "owner from the default") {
			s.remove("owner")
		}
	}
}

// shareValues replaces values by references to shared ones.
func (g *generator) shareValues() {
	for _, s := range g.services {
		for i := range s.assignments {
			a := &s.assignments[i]
			switch {
			case a.path[0] == "owner" && g.applyTo("team from a shared struct", s.name):
				g.addOnce("teams.cue", fmt.Sprintf(`_teams: %q: {title: %q, oncall: "\(title)@example.com"}`, s.owner, s.owner))
				setExpression(a, "_teams[%q].title", s.owner)
			case a.path[0] == "ports" && g.applyTo("port from a shared definition", s.name, a.path[1]):
				g.sharePort(s, a)
			case a.path[0] == "hosts" && len(s.hosts) == 1 && !strings.HasSuffix(s.hosts[0], ".local") && !s.has("perHost") && g.applyTo("host from the settings", s.name):
				g.addOnce("mesh.cue", "settings: _")
				setExpression(a, `["%s.x.\(settings.domain)"]`, s.name)
			case strings.Join(a.path, ".") == "backend.selector" && g.applyTo("labels from a shared struct", s.name):
				g.addOnce("teams.cue", `_labels: {"app.example.com/managed": "true", region: _|_ | *"any"}`)
				setExpression(a, `{app: %q, for k, v in _labels {(k): v}}`, s.name)
			case strings.Join(a.path, ".") == "authorization.allow" && g.applyTo("principal from the inventory", s.name):
				setExpression(a, `["\(%s.trustDomain)/ns/monitoring/sa/prometheus"]`, fieldRef("clusters", g.clusters[0].name))
			}
		}
	}
}

func (g *generator) sharePort(s *service, a *assignment) {
	p := s.ports[slices.IndexFunc(s.ports, func(p port) bool { return p.name == a.path[1] })]
	definition := "#P" + strings.ToUpper(p.name)
	target := ""
	if p.target != 0 {
		target = fmt.Sprintf(", targetPort: *%d | int", p.target)
	}
	switch {
	case p.target == 7070: // changed
		return
	case g.chance(0.5, s.name, p.name, "port in a package"):
		g.countFeature("definition of a package of the module")
		line := fmt.Sprintf("%s: {port: %d, protocol: %q%s}", definition, p.port, p.protocol, target)
		if !strings.Contains(g.data["lib/known/known.cue"], line) {
			g.addToPackage("known", line)
		}
		a.value = expression("known." + definition)
	default:
		g.addOnce("teams.cue", fmt.Sprintf("%s: {port: %d, protocol: %q%s}", definition, p.port, p.protocol, target))
		a.value = expression(definition)
	}
}

// completeImports adds imports for references to the package known.
func (g *generator) completeImports() {
	for _, f := range g.files {
		for _, p := range f.parts {
			for i, a := range p.assignments {
				if e, ok := a.value.(expression); ok && strings.HasPrefix(string(e), "known.") {
					p.assignments[i].value = expression(g.qualify(f, modulePath+"/lib/known", string(e)))
				}
			}
		}
	}
}

// addUnrelatedFiles adds files that plain CUE ignores or that have little effect.
func (g *generator) addUnrelatedFiles() {
	s := g.services[0]
	if g.apply("file of a build tag that is not set") {
		f := g.file(g.platformFolder() + "canary.cue")
		f.head = append(f.head, "@if(canary)")
		f.add(`services: %q: owner: "canary"`, s.name)
	}
	if g.apply("file of a build tag that is negated") {
		f := g.file(g.platformFolder() + "stable.cue")
		f.head = append(f.head, "@if(!canary && !dev)")
		f.add(`services: [string]: traffic: connectionPool: tcp: tcpKeepalive: probes: *3 | int`)
	}
	if g.apply("file of a service with a build tag") {
		if files := g.serviceFiles(); len(files) > 0 && files[0].path != "mesh.cue" {
			files[0].head = append(files[0].head, "@if(!canary)")
		}
	}
	if g.apply("ignored file") {
		f := g.file(g.platformFolder() + "ignored.cue")
		f.head = append(f.head, "@ignore()")
		f.add(`services: %q: owner: "ignored"`, s.name)
	}
	if g.apply("file without a declaration") {
		g.file(g.platformFolder() + "empty.cue").keepEmpty = true
	}
	if g.apply("files that are not the mesh's") {
		g.data["services/x_tool.cue"] = fmt.Sprintf("package config\n\nservices: %q: owner: \"tool\"\n", s.name)
		g.data["services/x_test.cue"] = fmt.Sprintf("package config\n\nservices: %q: owner: \"test\"\n", s.name)
		g.data["services/_drafts/x.cue"] = "services: web: owner: 1\n"
		g.data["services/.hidden/x.cue"] = "package other\n\nservices: web: owner: 1\n"
		g.data["services/_x.cue"] = "x: {\n"
		g.data["services/README.md"] = "services: web: owner: 1\n"
	}
	if g.apply("byte order mark") {
		g.file("clusters.cue").byteOrderMark = true
	}
	if g.apply("attribute of a file") {
		g.file("clusters.cue").add(`@corp(inventory)`)
	}
	if g.apply("tags of other names") {
		g.file("tags.cue").add(`_env: *"prod" | "dev" @tag(env,short=prod|dev)`)
		g.file("tags.cue").add(`_build: *7 | int @tag(build,type=int)`)
	}
	if g.apply("tag with a variable") {
		// Plain CUE injects the variable only with -T.
		g.file("tags.cue").add(`_when: *"never" | string @tag(when,var=now)`)
	}
	if g.apply("package of cue.mod") {
		g.data["cue.mod/pkg/corp.example/std/std.cue"] = "package std\n\nRetries: *2 | int\n"
		g.data["cue.mod/gen/corp.example/gen/gen.cue"] = "package gen\n\nMost: 900\n"
		f := g.file("corp.cue")
		f.add(`services: [string]: traffic: {connectionPool: http: maxRetries: *%s.Retries | int, outlierDetection: consecutiveGatewayErrors: *%s.Most | int}`,
			g.importName(f, "corp.example/std"), g.importName(f, "corp.example/gen"))
	}
	if g.apply("addition to the module by cue.mod/usr") {
		g.data["cue.mod/usr/isthmus.dev/mesh/corp.cue"] = "package mesh\n\n#Service: costCenter?: string\n#Settings: sidecarHosts: [...string]\n"
		g.file("corp.cue").add(`services: [=~"^[a-m]"]: costCenter: "cc-1"`)
	}
	if g.apply("shared field that is in use nowhere") {
		g.file("names.cue").add(`_unused: {for c, _ in clusters {(c): [for d, _ in clusters if d != c {d}]}}`)
	}
	for _, name := range slices.Sorted(maps.Keys(g.files)) {
		if g.applyTo("another order of experiments", name) && !slices.Contains(g.files[name].head, "@experiment(explicitopen)") {
			g.files[name].head = append(g.files[name].head, "@experiment(explicitopen,shortcircuit)")
		}
	}
}
