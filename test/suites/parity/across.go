package parity

import (
	"fmt"
	"strings"
)

// relate lets manifests, or what is shared, look at the services as a whole: what no service's own files tell.
func (m *maker) relateServices() {
	if len(m.services) < 2 {
		return
	}
	a, b := m.services[0], m.services[1]
	m.references(a, b)
	m.siblings()
	m.wholes(a)
	m.generate()
	m.dependents(a)
	m.indirect(a)
	m.readers(a)
}

// more adds to the manifest of a service, in its own file.
func (m *maker) more(s *service, format string, args ...any) *file {
	for _, f := range m.withParts() {
		for _, p := range f.parts {
			if p.service == s {
				p.more = append(p.more, fmt.Sprintf(format, args...))
				return f
			}
		}
	}
	panic("no file has service " + s.name)
}

// fresh is a service that collides with none, with more fields.
func (m *maker) fresh(name, more string) string {
	if !strings.Contains(more, "owner:") {
		more = "owner: \"generated\", " + more
	}
	key := label(name)
	if strings.HasPrefix(name, "_") {
		key = name // a hidden field, which is no service
	}
	return fmt.Sprintf(`%s: {backend: {namespace: "generated", selector: app: %q, serviceAccounts: [%q]}, placement: %s: {}, %s}`,
		key, name, name, label(m.clusters[0].name), more)
}

const anyPort = `ports: http: {port: 80, protocol: "HTTP"}`

// note is a line of a template that puts an annotation on all resources.
func note(key, value string) string {
	return fmt.Sprintf("resources: [string]: metadata: annotations: \"parity.example.com/%s\": %s", key, value)
}

// slots are places where any duration may stand, and that are seen where a service is called.
var slots = []string{
	"traffic: connectionPool: tcp: tcpKeepalive: interval: ",
	"traffic: outlierDetection: interval: ",
	"traffic: connectionPool: http: idleTimeout: ",
	"traffic: outlierDetection: baseEjectionTime: ",
}

// slot is one that the service does not use yet.
func (m *maker) slot(s *service) string {
	s.slots++
	return slots[(s.slots-1)%len(slots)]
}

// tell puts a duration where it is seen.
func (m *maker) tell(s *service, format string, args ...any) *file {
	return m.more(s, "%s%s", m.slot(s), fmt.Sprintf(format, args...))
}

// references are of one service to another by its path.
func (m *maker) references(a, b *service) {
	if m.once("across: reference to another service") {
		m.tell(a, `"\(len(%s.ports))s"`, in("services", b.name))
	}
	if m.once("across: owner of another service") {
		m.more(a, `_friend: %s.owner`, in("services", b.name))
	}
	if m.once("across: chain of references") && len(m.services) > 2 {
		c := m.services[2]
		m.more(a, `_depth: %s._depth + 1`, in("services", c.name))
		m.more(c, `_depth: %s._depth + 1`, in("services", b.name))
		m.more(b, `_depth: 1`)
		m.tell(a, `"\(_depth_)s", let _depth_ = %s._depth`, in("services", a.name))
	}
	if m.once("across: reference to itself by its path") {
		m.more(a, `_self: %s.owner`, in("services", a.name))
	}
	if m.once("across: let of all services") {
		f := m.tell(a, `"\(len([for n, _ in everybody {n}]))s"`)
		f.add("let everybody = services")
	}
	if m.once("across: does another service exist") {
		m.more(a, `if services["nobody"] == _|_ {%s"7s"}`, m.slot(a))
	}
	if m.once("across: condition on another service") {
		m.more(a, `if %s.owner != "" {%s"8s"}`, in("services", b.name), m.slot(a))
	}
	if m.once("across: dynamic reference") {
		m.more(a, `_whom: %q, %s"\(len(services[_whom].ports))s"`, b.name, m.slot(a))
	}
	if m.once("across: ports of another service") {
		m.file(m.platform()+"mirror.cue").add("services: %s", m.fresh("mirror", fmt.Sprintf(`ports: %s.ports`, in("services", b.name))))
	}
	if m.once("across: alias of all services") {
		m.file(m.platform() + "census.cue").add(`All=services: _` + "\n" + `_census: len([for n, _ in All {n}])`)
		m.tell(a, `"\(_census)s"`)
	}
	if m.once("across: value alias of all services") {
		f := m.file(m.platform() + "pair.cue")
		f.add("services: All={%s, %s}", m.fresh("pair-a", anyPort+`, _x: 3`), m.fresh("pair-b", anyPort+`, `+slots[0]+`"\(All["pair-a"]._x)s"`))
	}
}

// siblings refer to each other by what stands beside them.
func (m *maker) siblings() {
	if m.once("across: sibling in one file") {
		f := m.file(m.platform() + "twins.cue")
		f.add("services: {%s\n%s}", m.fresh("twin", `ports: http: {port: 80, protocol: "HTTP", targetPort: 1234}`), m.fresh("twin-b", `ports: twin.ports`))
		// What only the whole of the sibling tells.
		m.file(m.platform() + "twins-more.cue").add(`services: twin: ports: grpc: {port: 9000, protocol: "GRPC"}`)
	}
	if m.once("across: alias of a sibling") {
		f := m.file(m.platform() + "alias.cue")
		f.add("services: {%s\n%s}", "T="+m.fresh("aliased-a", anyPort), m.fresh("aliased-b", `ports: T.ports`))
		m.file(m.platform() + "alias-more.cue").add(`services: "aliased-a": ports: http: targetPort: 4321`)
	}
	if m.once("across: postfix alias of a sibling") {
		f := m.file(m.platform() + "postfix.cue")
		f.head = append(f.head, "@experiment(aliasv2)")
		f.add("services: {%s\n%s}", strings.Replace(m.fresh("postfix-a", anyPort), ":", "~T:", 1), m.fresh("postfix-b", `ports: T.ports`))
	}
	if m.once("across: self of the services") {
		f := m.file(m.platform() + "selves.cue")
		f.head = append(f.head, "@experiment(aliasv2)")
		f.add("services: {let S = self\n%s\n%s\n}", m.fresh("selfish-a", anyPort), m.fresh("selfish-b", `ports: S["selfish-a"].ports`))
	}
}

// wholes constrain or define the services as one struct.
func (m *maker) wholes(a *service) {
	f := m.file(m.platform() + "whole.cue")
	if m.once("across: least number of services") {
		f.add("services: %s.MinFields(%d)", m.importing(f, "struct"), max(1, len(m.services)))
	}
	if m.once("across: closed set of services") {
		var names []string
		for _, s := range m.services {
			names = append(names, label(s.name)+": _")
		}
		if len(m.across) == 1 {
			f.add("services: close({%s})", strings.Join(names, ", "))
		}
	}
	if m.once("across: services of a hidden struct") {
		f.add("services: _generated\n_generated: {for i in [1, 2] {\"gen-\\(i)\": %s}}", strings.TrimPrefix(m.fresh("x", `ports: http: {port: 80+i, protocol: "HTTP"}`), "x: "))
		f.top[len(f.top)-1] = strings.ReplaceAll(f.top[len(f.top)-1], `app: "x"`, `app: "gen-\(i)"`)
	}
	if m.once("across: services twice removed") {
		f.add("services: _more & {[string]: _}\n_more: %s", "{"+m.fresh("removed", anyPort)+"}")
	}
	if m.once("across: hidden field beside services") {
		f.add("services: {_template: {%s}, hid: _template & %s}", anyPort, strings.TrimPrefix(m.fresh("hid", ""), "hid: "))
	}
	if m.once("across: definition beside services") {
		f.add("services: #Port: {port: 80, protocol: \"HTTP\"}\nservices: {#Port: _, %s}", m.fresh("defined", `ports: http: #Port`))
	}
	if m.once("across: optional service") {
		f.add("services: %q?: traffic: outlierDetection: consecutive5xxErrors: *55 | int", a.name)
		f.add("services: ghost?: {owner: \"nobody\"}")
	}
	if m.once("across: required service") {
		f.add("services: %q!: owner: string", a.name)
	}
	if m.once("across: pattern in a service file") {
		f.add("services: {%s\n[=~\"^(web|cart|api|ledger)\"]: traffic: outlierDetection: consecutiveLocalOriginFailures: *8 | int}", m.fresh("patron", anyPort))
	}
	if m.once("across: shared values beside a service") {
		m.file(m.platform()+"tuned.cue").add("_tuned: 12\n%s", "services: "+m.fresh("tuned", anyPort))
		m.tell(a, `"\(_tuned)s"`)
	}
	if m.once("across: external beside its service") {
		m.file(m.platform()+"saas.cue").add("externals: saas: {hosts: [\"api.saas.example.com\"], ports: https: {port: 443, protocol: \"TLS\"}}\nservices: %s",
			m.fresh("saas-client", anyPort+`, egress: saas: {}`))
	}
	if m.once("across: cluster beside a service") {
		m.file(m.platform()+"site.cue").add("clusters: site: {region: \"eu\", tier: \"gold\", gateways: [{address: \"192.0.2.250\"}]}\nservices: %s",
			m.fresh("on-site", anyPort+`, placement: site: _`))
	}
}

// generate makes services of something else.
func (m *maker) generate() {
	f := m.file(m.platform() + "generated.cue")
	body := func(name string) string {
		return fmt.Sprintf(`{owner: "generated", backend: {namespace: "generated", selector: app: %s, serviceAccounts: [%s]}, placement: %s: {}, %s}`,
			name, name, label(m.clusters[0].name), anyPort)
	}
	if m.once("across: services by a comprehension") {
		f.add(`services: {for n in ["loop-a", "loop-b"] {(n): %s}}`, body("n"))
	}
	if m.once("across: services by a comprehension of the file") {
		f.add(`for n in ["file-a", "file-b"] {services: (n): %s}`, body("n"))
	}
	if m.once("across: services by cluster") {
		f.add(`services: {for c, _ in clusters {"agent-\(c)": %s}}`, strings.ReplaceAll(body(`"agent-\(c)"`), "placement: "+label(m.clusters[0].name), "placement: (c)"))
	}
	if m.once("across: service of a computed name") {
		f.add("_stem: \"comp\"\nservices: (_stem+\"uted\"): %s", body(`"computed"`))
	}
	if m.once("across: service of an interpolated name") {
		f.add("services: \"\\(\"inter\")polated\": %s", body(`"interpolated"`))
	}
	if m.once("across: conditional service") {
		f.add("_flags: search: true\nif _flags.search {services: flagged: %s}", body(`"flagged"`))
	}
	if m.once("across: conditional service in the struct") {
		f.add("services: {if len(clusters) > 1 {inner: %s}}", body(`"inner"`))
	}
	if m.once("across: service that depends on the cluster") {
		f.add("services: {if cluster == %q {sometimes: %s}}", m.clusters[0].name, body(`"sometimes"`))
	}
	if m.once("across: services in an embedded struct") {
		f.add("{services: nested: %s}", body(`"nested"`))
	}
	if m.once("across: services by a definition that is embedded") {
		f.add("#Bundle: {services: bundled: %s, ...}\n#Bundle", body(`"bundled"`))
	}
	if !m.layout.list && m.once("across: services from JSON") {
		m.embedded(f)
	}
	if m.once("across: callee by a pattern") {
		// Everybody calls one service that all may call.
		f.add("services: observed: %s", strings.Replace(body(`"observed"`), "placement: ", "_x: ", 1))
		f.add(`services: [!~"^(observed|sometimes)$"]: egress: observed: {}`)
	}
}

func (m *maker) embedded(f *file) {
	f.head = append(f.head, "@extern(embed)")
	text, _ := jsonOf(fields("embedded", fields(
		"owner", "json",
		"backend", fields("namespace", "generated", "selector", fields("app", "embedded"), "serviceAccounts", words([]string{"embedded"})),
		"placement", fields(m.clusters[0].name, fields()),
		"ports", fields("http", fields("port", 80, "protocol", "HTTP")),
	)))
	m.data[folderOf(f.path)+"more/services.json"] = text
	if m.chance(0.5, "embedded by a glob") {
		f.add(`_from: _ @embed(glob=more/*.json)` + "\n" + `services: {for f, x in _from {x}}`)
		return
	}
	f.add(`services: _ @embed(file="more/services.json")`)
}

// dependents are settings, clusters and externals made of services.
func (m *maker) dependents(a *service) {
	f := m.file(m.platform() + "dependents.cue")
	if m.once("across: shared field made of services") {
		m.openMesh = true
		f.add(`owners: {for n, s in services {(n): s.owner}}`)
		m.more(a, `_owners: owners`)
		m.tell(a, `"\(len(owners))s"`)
	}
	if m.once("across: hidden field made of services") {
		f.add(`_busiest: len([for n, s in services for e, _ in s.egress {e}])`)
		m.tell(a, `"\(_busiest+1)s"`)
	}
	if m.once("across: settings made of services") {
		m.sharedOnce("mesh.cue", "settings: _")
		f.add(`settings: namespaceLabels: {for n, _ in services {"has-\(n)": "yes"}}`)
		m.template = append(m.template, note("namespace-labels", `strings.Join([for k, _ in settings.namespaceLabels {k}], ",")`))
	}
	if m.once("across: inventory made of services") {
		f.add(`clusters: [C=string]: zone: *"\(C)-\(len([for n, s in services if s.placement[C] != _|_ {n}]))" | string`)
		m.template = append(m.template, note("zone", `[if clusters[cluster].zone != _|_ {clusters[cluster].zone}, ""][0]`))
	}
	if m.once("across: external made of services") {
		f.add(`externals: {for n, s in services if (s._saas & string) != _|_ {"saas-\(n)": {hosts: ["\(n).\(s._saas)"], ports: https: {port: 443, protocol: "TLS"}}}}`)
		m.more(a, `_saas: "vendor.example.com", egress: "saas-%s": {}`, a.name)
	}
	if m.once("across: policy of a user over all services") {
		f.add(`_policy: {for n, s in services if s.owner == "" {(n): error("service \(n) has no owner")}}`)
	}
	if m.once("across: unique by a struct") {
		f.add(`_byTarget: {for n, s in services for k, p in s.ports {"\(n)/\(k)": p.port}}`)
	}
}

// indirect are relations that go through something else, or seem to be there and are not.
func (m *maker) indirect(a *service) {
	if m.once("across: sibling that hides a shared field") {
		f := m.file(m.platform() + "hidden.cue")
		f.add("services: {%s\n%s}", m.fresh("_shadow", anyPort), m.fresh("shadowed", anyPort+`, `+slots[0]+`"\(len(_shadow.owner))s"`))
		m.file("shadow.cue").add(`_shadow: owner: "the outer one"`)
	}
	if m.once("across: shared definition that refers to services") {
		m.file("census.cue").add(`#Census: {interval: "\(len([for n, _ in services {n}]))s", ...}`)
		m.tell(a, `#Census.interval`)
	}
	if m.once("across: second mesh") {
		m.secondMesh()
	}
}

// secondMesh is a fixture: a mesh of its own, which is rendered within the repository.
func (m *maker) secondMesh() {
	f := m.file("fixture.cue")
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
	m.template = append(m.template, note("fixture", `strings.Join([for k, _ in _fixture.resources {k}], " ")`))
}

// readers are templates, and what stands beside them, that look at services or at resources.
func (m *maker) readers(a *service) {
	add := func(text string) { m.template = append(m.template, text) }
	if m.once("across: template that lists services") {
		add(note("services", `strings.Join([for n, s in services {"\(n) of \(s.owner)"}], ", ")`))
	}
	if m.once("across: template that reads callees") {
		add(note("callees", `strings.Join([for e, _ in service.egress if services[e] != _|_ {services[e].owner}], ",")`))
	}
	if m.once("across: template that reads callers") {
		add(note("callers", `strings.Join([for n, s in services if s.egress[name] != _|_ {n}], ",")`))
	}
	if m.once("across: template that reads a field made of services") {
		m.file("census.cue").add(`_tiers: {for n, s in services {(n): [if s._tier != _|_ {s._tier}, "none"][0]}}`)
		add(note("tiers", `_tiers[name]`))
	}
	if m.once("across: additions to resources") {
		m.file("mesh.cue").add(`resources: [=~"^Gateway/"]: metadata: annotations: "parity.example.com/gateway": "cross-cluster"`)
	}
	if m.once("across: resource beside the templates") {
		m.file("mesh.cue").add(`resources: "PeerAuthentication/istio-system/default": {
	apiVersion: "security.istio.io/v1"
	kind:       "PeerAuthentication"
	metadata: {name: "default", namespace: "istio-system"}
	spec: mtls: mode: "STRICT"
}`)
	}
	if m.once("across: what reads resources") {
		m.file("mesh.cue").add("resources: {...}\n_rendered_: len([for k, _ in resources {k}])")
	}
	if m.once("across: template that narrows manifests") {
		m.more(a, `_choice: *"b" | "a"`)
		add(`service: _choice?: "a"`)
		add(`if service._choice != _|_ {resources: [string]: metadata: annotations: "parity.example.com/choice": service._choice}`)
	}
}
