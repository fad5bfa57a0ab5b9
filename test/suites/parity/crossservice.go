package parity

import (
	"fmt"
	"strings"
)

// relateServices adds cross-service features: manifests or shared files that read other services.
func (g *generator) relateServices() {
	if len(g.services) < 2 {
		return
	}
	a, b := g.services[0], g.services[1]
	g.addReferences(a, b)
	g.addSiblings()
	g.addConstraints(a)
	g.addGeneratedServices()
	g.addDependents(a)
	g.addIndirect(a)
	g.addReaders(a)
}

// addToManifest adds declarations to the manifest of a service, in the file of the service.
func (g *generator) addToManifest(s *service, format string, args ...any) *file {
	for _, f := range g.serviceFiles() {
		for _, p := range f.parts {
			if p.service == s {
				p.more = append(p.more, fmt.Sprintf(format, args...))
				return f
			}
		}
	}
	panic("no file has service " + s.name)
}

// serviceText is the manifest of a new service without conflicts, with more fields.
func (g *generator) serviceText(name, more string) string {
	if !strings.Contains(more, "owner:") {
		more = "owner: \"generated\", " + more
	}
	key := label(name)
	if strings.HasPrefix(name, "_") {
		key = name // a hidden field instead of a service
	}
	return fmt.Sprintf(`%s: {backend: {namespace: "generated", selector: app: %q, serviceAccounts: [%q]}, placement: %s: {}, %s}`,
		key, name, name, label(g.clusters[0].name), more)
}

const anyPort = `ports: http: {port: 80, protocol: "HTTP"}`

// annotationText is a line of a template that adds an annotation to all resources.
func annotationText(key, value string) string {
	return fmt.Sprintf("resources: [string]: metadata: annotations: \"parity.example.com/%s\": %s", key, value)
}

// durationFields accept any duration and affect the resources of callers.
var durationFields = []string{
	"traffic: connectionPool: tcp: tcpKeepalive: interval: ",
	"traffic: outlierDetection: interval: ",
	"traffic: connectionPool: http: idleTimeout: ",
	"traffic: outlierDetection: baseEjectionTime: ",
}

// durationField is the next unused duration field of the service.
func (g *generator) durationField(s *service) string {
	s.durationFields++
	return durationFields[(s.durationFields-1)%len(durationFields)]
}

// addDuration sets an unused duration field of the service.
func (g *generator) addDuration(s *service, format string, args ...any) *file {
	return g.addToManifest(s, "%s%s", g.durationField(s), fmt.Sprintf(format, args...))
}

// addReferences adds references from one service to another by path.
func (g *generator) addReferences(a, b *service) {
	if g.apply("cross-service: reference to another service") {
		g.addDuration(a, `"\(len(%s.ports))s"`, fieldRef("services", b.name))
	}
	if g.apply("cross-service: owner of another service") {
		g.addToManifest(a, `_friend: %s.owner`, fieldRef("services", b.name))
	}
	if g.apply("cross-service: chain of references") && len(g.services) > 2 {
		c := g.services[2]
		g.addToManifest(a, `_depth: %s._depth + 1`, fieldRef("services", c.name))
		g.addToManifest(c, `_depth: %s._depth + 1`, fieldRef("services", b.name))
		g.addToManifest(b, `_depth: 1`)
		g.addDuration(a, `"\(_depth_)s", let _depth_ = %s._depth`, fieldRef("services", a.name))
	}
	if g.apply("cross-service: reference to itself by its path") {
		g.addToManifest(a, `_self: %s.owner`, fieldRef("services", a.name))
	}
	if g.apply("cross-service: let of all services") {
		f := g.addDuration(a, `"\(len([for n, _ in everybody {n}]))s"`)
		f.add("let everybody = services")
	}
	if g.apply("cross-service: test for another service") {
		g.addToManifest(a, `if services["nobody"] == _|_ {%s"7s"}`, g.durationField(a))
	}
	if g.apply("cross-service: condition on another service") {
		g.addToManifest(a, `if %s.owner != "" {%s"8s"}`, fieldRef("services", b.name), g.durationField(a))
	}
	if g.apply("cross-service: dynamic reference") {
		g.addToManifest(a, `_whom: %q, %s"\(len(services[_whom].ports))s"`, b.name, g.durationField(a))
	}
	if g.apply("cross-service: ports of another service") {
		g.file(g.platformFolder()+"mirror.cue").add("services: %s", g.serviceText("mirror", fmt.Sprintf(`ports: %s.ports`, fieldRef("services", b.name))))
	}
	if g.apply("cross-service: alias of all services") {
		g.file(g.platformFolder() + "census.cue").add(`All=services: _` + "\n" + `_census: len([for n, _ in All {n}])`)
		g.addDuration(a, `"\(_census)s"`)
	}
	if g.apply("cross-service: value alias of all services") {
		f := g.file(g.platformFolder() + "pair.cue")
		f.add("services: All={%s, %s}", g.serviceText("pair-a", anyPort+`, _x: 3`), g.serviceText("pair-b", anyPort+`, `+durationFields[0]+`"\(All["pair-a"]._x)s"`))
	}
}

// addSiblings adds services of one struct that refer to each other.
func (g *generator) addSiblings() {
	if g.apply("cross-service: sibling in one file") {
		f := g.file(g.platformFolder() + "twins.cue")
		f.add("services: {%s\n%s}", g.serviceText("twin", `ports: http: {port: 80, protocol: "HTTP", targetPort: 1234}`), g.serviceText("twin-b", `ports: twin.ports`))
		// Only the unification of both files has this port.
		g.file(g.platformFolder() + "twins-more.cue").add(`services: twin: ports: grpc: {port: 9000, protocol: "GRPC"}`)
	}
	if g.apply("cross-service: alias of a sibling") {
		f := g.file(g.platformFolder() + "alias.cue")
		f.add("services: {%s\n%s}", "T="+g.serviceText("aliased-a", anyPort), g.serviceText("aliased-b", `ports: T.ports`))
		g.file(g.platformFolder() + "alias-more.cue").add(`services: "aliased-a": ports: http: targetPort: 4321`)
	}
	if g.apply("cross-service: postfix alias of a sibling") {
		f := g.file(g.platformFolder() + "postfix.cue")
		f.head = append(f.head, "@experiment(aliasv2)")
		f.add("services: {%s\n%s}", strings.Replace(g.serviceText("postfix-a", anyPort), ":", "~T:", 1), g.serviceText("postfix-b", `ports: T.ports`))
	}
	if g.apply("cross-service: self of the services") {
		f := g.file(g.platformFolder() + "selves.cue")
		f.head = append(f.head, "@experiment(aliasv2)")
		f.add("services: {let S = self\n%s\n%s\n}", g.serviceText("selfish-a", anyPort), g.serviceText("selfish-b", `ports: S["selfish-a"].ports`))
	}
}

// addConstraints adds constraints and definitions of the struct of all services.
func (g *generator) addConstraints(a *service) {
	f := g.file(g.platformFolder() + "whole.cue")
	if g.apply("cross-service: minimum number of services") {
		f.add("services: %s.MinFields(%d)", g.importName(f, "struct"), max(1, len(g.services)))
	}
	if g.apply("cross-service: closed struct of services") {
		var names []string
		for _, s := range g.services {
			names = append(names, label(s.name)+": _")
		}
		if len(g.crossService) == 1 {
			f.add("services: close({%s})", strings.Join(names, ", "))
		}
	}
	if g.apply("cross-service: services of a hidden struct") {
		f.add("services: _generated\n_generated: {for i in [1, 2] {\"gen-\\(i)\": %s}}", strings.TrimPrefix(g.serviceText("x", `ports: http: {port: 80+i, protocol: "HTTP"}`), "x: "))
		f.top[len(f.top)-1] = strings.ReplaceAll(f.top[len(f.top)-1], `app: "x"`, `app: "gen-\(i)"`)
	}
	if g.apply("cross-service: services of a hidden struct with a pattern") {
		f.add("services: _more & {[string]: _}\n_more: %s", "{"+g.serviceText("removed", anyPort)+"}")
	}
	if g.apply("cross-service: hidden field beside services") {
		f.add("services: {_template: {%s}, hid: _template & %s}", anyPort, strings.TrimPrefix(g.serviceText("hid", ""), "hid: "))
	}
	if g.apply("cross-service: definition beside services") {
		f.add("services: #Port: {port: 80, protocol: \"HTTP\"}\nservices: {#Port: _, %s}", g.serviceText("defined", `ports: http: #Port`))
	}
	if g.apply("cross-service: optional service") {
		f.add("services: %q?: traffic: outlierDetection: consecutive5xxErrors: *55 | int", a.name)
		f.add("services: ghost?: {owner: \"nobody\"}")
	}
	if g.apply("cross-service: required service") {
		f.add("services: %q!: owner: string", a.name)
	}
	if g.apply("cross-service: pattern in a service file") {
		f.add("services: {%s\n[=~\"^(web|cart|api|ledger)\"]: traffic: outlierDetection: consecutiveLocalOriginFailures: *8 | int}", g.serviceText("patron", anyPort))
	}
	if g.apply("cross-service: shared values beside a service") {
		g.file(g.platformFolder()+"tuned.cue").add("_tuned: 12\n%s", "services: "+g.serviceText("tuned", anyPort))
		g.addDuration(a, `"\(_tuned)s"`)
	}
	if g.apply("cross-service: external beside its service") {
		g.file(g.platformFolder()+"saas.cue").add("externals: saas: {hosts: [\"api.saas.example.com\"], ports: https: {port: 443, protocol: \"TLS\"}}\nservices: %s",
			g.serviceText("saas-client", anyPort+`, egress: saas: {}`))
	}
	if g.apply("cross-service: cluster beside a service") {
		g.file(g.platformFolder()+"site.cue").add("clusters: site: {region: \"eu\", tier: \"gold\", gateways: [{address: \"192.0.2.250\"}]}\nservices: %s",
			g.serviceText("on-site", anyPort+`, placement: site: _`))
	}
}

// addGeneratedServices adds services by comprehensions and other expressions.
func (g *generator) addGeneratedServices() {
	f := g.file(g.platformFolder() + "generated.cue")
	body := func(name string) string {
		return fmt.Sprintf(`{owner: "generated", backend: {namespace: "generated", selector: app: %s, serviceAccounts: [%s]}, placement: %s: {}, %s}`,
			name, name, label(g.clusters[0].name), anyPort)
	}
	if g.apply("cross-service: services by a comprehension") {
		f.add(`services: {for n in ["loop-a", "loop-b"] {(n): %s}}`, body("n"))
	}
	if g.apply("cross-service: services by a comprehension of the file") {
		f.add(`for n in ["file-a", "file-b"] {services: (n): %s}`, body("n"))
	}
	if g.apply("cross-service: services by cluster") {
		f.add(`services: {for c, _ in clusters {"agent-\(c)": %s}}`, strings.ReplaceAll(body(`"agent-\(c)"`), "placement: "+label(g.clusters[0].name), "placement: (c)"))
	}
	if g.apply("cross-service: service of a computed name") {
		f.add("_stem: \"comp\"\nservices: (_stem+\"uted\"): %s", body(`"computed"`))
	}
	if g.apply("cross-service: service of an interpolated name") {
		f.add("services: \"\\(\"inter\")polated\": %s", body(`"interpolated"`))
	}
	if g.apply("cross-service: conditional service") {
		f.add("_flags: search: true\nif _flags.search {services: flagged: %s}", body(`"flagged"`))
	}
	if g.apply("cross-service: conditional service in the struct") {
		f.add("services: {if len(clusters) > 1 {inner: %s}}", body(`"inner"`))
	}
	if g.apply("cross-service: service that depends on the cluster") {
		f.add("services: {if cluster == %q {sometimes: %s}}", g.clusters[0].name, body(`"sometimes"`))
	}
	if g.apply("cross-service: services in an embedded struct") {
		f.add("{services: nested: %s}", body(`"nested"`))
	}
	if g.apply("cross-service: services of an embedded definition") {
		f.add("#Bundle: {services: bundled: %s, ...}\n#Bundle", body(`"bundled"`))
	}
	if !g.layout.fileList && g.apply("cross-service: services from JSON") {
		g.addServicesFromJSON(f)
	}
	if g.apply("cross-service: callee by a pattern") {
		// All services call one service, which accepts all callers.
		f.add("services: observed: %s", strings.Replace(body(`"observed"`), "placement: ", "_x: ", 1))
		f.add(`services: [!~"^(observed|sometimes)$"]: egress: observed: {}`)
	}
}

func (g *generator) addServicesFromJSON(f *file) {
	f.head = append(f.head, "@extern(embed)")
	text, _ := jsonOf(fields("embedded", fields(
		"owner", "json",
		"backend", fields("namespace", "generated", "selector", fields("app", "embedded"), "serviceAccounts", stringList([]string{"embedded"})),
		"placement", fields(g.clusters[0].name, fields()),
		"ports", fields("http", fields("port", 80, "protocol", "HTTP")),
	)))
	g.data[folderOf(f.path)+"more/services.json"] = text
	if g.chance(0.5, "embedded by a glob") {
		f.add(`_from: _ @embed(glob=more/*.json)` + "\n" + `services: {for f, x in _from {x}}`)
		return
	}
	f.add(`services: _ @embed(file="more/services.json")`)
}

// addDependents adds settings, clusters and externals that are computed from services.
func (g *generator) addDependents(a *service) {
	f := g.file(g.platformFolder() + "dependents.cue")
	if g.apply("cross-service: shared field made of services") {
		g.openMesh = true
		f.add(`owners: {for n, s in services {(n): s.owner}}`)
		g.addToManifest(a, `_owners: owners`)
		g.addDuration(a, `"\(len(owners))s"`)
	}
	if g.apply("cross-service: hidden field made of services") {
		f.add(`_busiest: len([for n, s in services for e, _ in s.egress {e}])`)
		g.addDuration(a, `"\(_busiest+1)s"`)
	}
	if g.apply("cross-service: settings made of services") {
		g.addOnce("mesh.cue", "settings: _")
		f.add(`settings: namespaceLabels: {for n, _ in services {"has-\(n)": "yes"}}`)
		g.template = append(g.template, annotationText("namespace-labels", `strings.Join([for k, _ in settings.namespaceLabels {k}], ",")`))
	}
	if g.apply("cross-service: inventory made of services") {
		f.add(`clusters: [C=string]: zone: *"\(C)-\(len([for n, s in services if s.placement[C] != _|_ {n}]))" | string`)
		g.template = append(g.template, annotationText("zone", `[if clusters[cluster].zone != _|_ {clusters[cluster].zone}, ""][0]`))
	}
	if g.apply("cross-service: external made of services") {
		f.add(`externals: {for n, s in services if (s._saas & string) != _|_ {"saas-\(n)": {hosts: ["\(n).\(s._saas)"], ports: https: {port: 443, protocol: "TLS"}}}}`)
		g.addToManifest(a, `_saas: "vendor.example.com", egress: "saas-%s": {}`, a.name)
	}
	if g.apply("cross-service: policy of a user over all services") {
		f.add(`_policy: {for n, s in services if s.owner == "" {(n): error("service \(n) has no owner")}}`)
	}
	if g.apply("cross-service: unique keys of a struct") {
		f.add(`_byTarget: {for n, s in services for k, p in s.ports {"\(n)/\(k)": p.port}}`)
	}
}

// addIndirect adds indirect references, and a reference that only seems to name a service.
func (g *generator) addIndirect(a *service) {
	if g.apply("cross-service: sibling that hides a shared field") {
		f := g.file(g.platformFolder() + "hidden.cue")
		f.add("services: {%s\n%s}", g.serviceText("_shadow", anyPort), g.serviceText("shadowed", anyPort+`, `+durationFields[0]+`"\(len(_shadow.owner))s"`))
		g.file("shadow.cue").add(`_shadow: owner: "the outer one"`)
	}
	if g.apply("cross-service: shared definition that refers to services") {
		g.file("census.cue").add(`#Census: {interval: "\(len([for n, _ in services {n}]))s", ...}`)
		g.addDuration(a, `#Census.interval`)
	}
	if g.apply("cross-service: second mesh") {
		g.addSecondMesh()
	}
}

// addSecondMesh adds a second mesh that is rendered inside the repository.
func (g *generator) addSecondMesh() {
	f := g.file("fixture.cue")
	f.head = append(f.head, "@experiment(explicitopen)")
	f.imports["isthmus.dev/mesh"] = "mesh"
	f.add(`_fixture: mesh.#Mesh & {
	#template: mesh.#Template...
	#externalTemplate: mesh.#ExternalTemplate...
	cluster: "a"
	clusters: {a: {region: "x", gateways: [{address: "203.0.113.1"}]}, b: {region: "y", gateways: [{address: "203.0.113.2"}]}}
	services: {
		one: {owner: "o", ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "one", selector: app: "one", serviceAccounts: ["one"]}, placement: a: {}, egress: two: {}}
		two: {owner: "o", ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "two", selector: app: "two", serviceAccounts: ["two"]}, placement: b: {}}
	}
}`)
	g.template = append(g.template, annotationText("fixture", `strings.Join([for k, _ in _fixture.resources {k}], " ")`))
}

// addReaders adds templates and other declarations that read services or resources.
func (g *generator) addReaders(a *service) {
	add := func(text string) { g.template = append(g.template, text) }
	if g.apply("cross-service: template that lists services") {
		add(annotationText("services", `strings.Join([for n, s in services {"\(n) of \(s.owner)"}], ", ")`))
	}
	if g.apply("cross-service: template that reads callees") {
		add(annotationText("callees", `strings.Join([for e, _ in service.egress if services[e] != _|_ {services[e].owner}], ",")`))
	}
	if g.apply("cross-service: template that reads callers") {
		add(annotationText("callers", `strings.Join([for n, s in services if s.egress[name] != _|_ {n}], ",")`))
	}
	if g.apply("cross-service: template that reads a field made of services") {
		g.file("census.cue").add(`_tiers: {for n, s in services {(n): [if s._tier != _|_ {s._tier}, "none"][0]}}`)
		add(annotationText("tiers", `_tiers[name]`))
	}
	if g.apply("cross-service: annotation of resources") {
		g.file("mesh.cue").add(`resources: [=~"^Gateway/"]: metadata: annotations: "parity.example.com/gateway": "cross-cluster"`)
	}
	if g.apply("cross-service: resource beside the templates") {
		g.file("mesh.cue").add(`resources: "PeerAuthentication/istio-system/default": {
	apiVersion: "security.istio.io/v1"
	kind:       "PeerAuthentication"
	metadata: {name: "default", namespace: "istio-system"}
	spec: mtls: mode: "STRICT"
}`)
	}
	if g.apply("cross-service: field that reads resources") {
		g.file("mesh.cue").add("resources: {...}\n_rendered_: len([for k, _ in resources {k}])")
	}
	if g.apply("cross-service: template that narrows manifests") {
		g.addToManifest(a, `_choice: *"b" | "a"`)
		add(`service: _choice?: "a"`)
		add(`if service._choice != _|_ {resources: [string]: metadata: annotations: "parity.example.com/choice": service._choice}`)
	}
}
