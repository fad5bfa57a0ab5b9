package parity

import (
	"fmt"
	"strings"
)

// annotation is a feature that puts an annotation on resources.
type annotation struct {
	feature, key string
	// when is a condition, "" for none; value the annotation's; imports are the packages that both need.
	when, value string
	imports     []string
}

var annotations = []annotation{
	{
		feature: "template: owner", key: "owner",
		value: `service.owner`,
	},
	{
		feature: "template: hidden field", key: "tier",
		when:  `service._tier != _|_`,
		value: `service._tier`,
	},
	{
		feature: "template: hidden field without a test", key: "tier-else",
		value: `[if service._tier != _|_ {service._tier}, "none"][0]`,
	},
	{
		feature: "template: definition", key: "slo",
		when:  `service.#slo != _|_`,
		value: `"\(service.#slo.objective) in \(service.#slo.window)"`,
	},
	{
		feature: "template: definition of a pattern", key: "size",
		when:  `service.#size != _|_`,
		value: `"\(service.#size) \(service._key)"`,
	},
	{
		feature: "template: optional field", key: "vip",
		value: `[if service.vip != _|_ {service.vip}, "none"][0]`,
	},
	{
		feature: "template: field of cue.mod/usr", key: "cost",
		when:  `service.costCenter != _|_`,
		value: `service.costCenter`,
	},
	{
		feature: "template: big number", key: "big",
		when:  `service._big != _|_`,
		value: `"\(service._big)"`,
	},
	{
		feature: "template: bytes", key: "bytes",
		when:  `service._bytes != _|_`,
		value: `"\(service._bytes)"`,
	},
	{
		feature: "template: null", key: "nothing",
		when:  `service._nothing != _|_`,
		value: `"\(service._nothing == null)"`,
	},
	{
		feature: "template: bytes of a route", key: "body",
		value:   `strings.Join([for r in service.routes if r.directResponse != _|_ if r.directResponse.body.bytes != _|_ {"\(len(r.directResponse.body.bytes))"}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: numbers of a route", key: "delays",
		value:   `strings.Join([for r in service.routes if r.fault != _|_ for p in [r.fault.delay.percentage] {"\(p.value * 2) \((p.value & int) != _|_)"}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: order of placements", key: "placements",
		value:   `strings.Join([for c, _ in service.placement {c}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: order of calls", key: "calls",
		value:   `strings.Join([for c, _ in service.egress {c}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: order of ports", key: "ports",
		value:   `strings.Join([for k, p in service.ports {"\(k):\(p.port)"}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: order of labels", key: "labels",
		when:    `service.backend.selector != _|_`,
		value:   `strings.Join([for k, v in service.backend.selector {"\(k)=\(v)"}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: order of all fields", key: "fields",
		value:   `strings.Join([for k, _ in service {k}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: order of clusters", key: "clusters",
		value:   `strings.Join([for k, _ in clusters {k}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: order of settings", key: "settings",
		value:   `strings.Join([for k, _ in settings {k}], " ")`,
		imports: []string{"strings"},
	},
	{
		feature: "template: JSON of a manifest", key: "json",
		value:   `json.Marshal(service)`,
		imports: []string{"encoding/json"},
	},
	{
		feature: "template: JSON of a part", key: "json-part",
		value:   `json.Marshal({p: service.placement, t: service.traffic})`,
		imports: []string{"encoding/json"},
	},
	{
		feature: "template: YAML of a part", key: "yaml",
		value:   `yaml.Marshal(service.routes)`,
		imports: []string{"encoding/yaml"},
	},
	{
		feature: "template: hash of a manifest", key: "hash",
		value:   `hex.Encode(sha256.Sum256(json.Marshal(service)))`,
		imports: []string{"encoding/json", "crypto/sha256", "encoding/hex"},
	},
	{
		feature: "template: cluster", key: "cluster",
		value: `"\(cluster) in \(clusters[cluster].region)"`,
	},
	{
		feature: "template: settings", key: "domain",
		value: `"\(settings.domain) \(settings.gateway.port)"`,
	},
	{
		feature: "template: inputs", key: "inputs",
		value:   `"\(len(callers)) \(len(remotes)) \(len(pods)) \(exported) \(strings.Join(hosts, " "))"`,
		imports: []string{"strings"},
	},
	{
		feature: "template: defaults of a manifest", key: "spread",
		value: `[if service.spread != _|_ {service.spread}, if service.sidecar != _|_ {"sidecar"}, "default"][0]`,
	},
	{
		feature: "template: comparison of structs", key: "same",
		value: `"\(service.traffic == {}) \(service.backend == {namespace: "shop"})"`,
	},
	{
		feature: "template: closedness of a manifest", key: "closed",
		value: `[if (service & {nope: 1}) == _|_ {"closed"}, "open"][0]`,
	},
	{
		feature: "template: type of a field", key: "type",
		value: `"\((service.ports & {[string]: port: int}) != _|_) \((service.owner & int) == _|_)"`,
	},
	{
		feature: "template: number of externals", key: "externals",
		value: `"\(len(externals))"`,
	},
}

// inputs are those of #Template that annotations use. Beside clusters and externals, which are the mesh's.
const inputs = "name: _\nnamespace: _\nservice: _\ncluster: _\nsettings: _\ncallers: _\nremotes: _\npods: _\nexported: _\nhosts: _"

// overrides writes #template and #externalTemplate.
func (m *maker) overrides() {
	f := m.file("mesh.cue")
	if m.once("template: in a file of its own") {
		f = m.file("templates.cue")
		f.head = append(f.head, "@experiment(explicitopen)")
		f.imports["isthmus.dev/mesh"] = "mesh"
	}
	var body []string
	for _, a := range annotations {
		if !m.once(a.feature) {
			continue
		}
		pattern := pick(m.dice, []string{"string", "string", `=~"^(ServiceEntry|DestinationRule)/"`, `!~"^Gateway/"`}, a.feature, "pattern")
		text := fmt.Sprintf(`resources: [%s]: metadata: annotations: "parity.example.com/%s": %s`, pattern, a.key, a.value)
		if a.when != "" {
			text = "if " + a.when + " {" + text + "}"
		}
		for _, path := range a.imports {
			text = m.with(f, path, text)
		}
		body = append(body, text)
	}
	body = append(body, m.bolder(f)...)
	for _, text := range m.template {
		if strings.Contains(text, "strings.") {
			text = m.with(f, "strings", text)
		}
		body = append(body, text)
	}
	if len(body) == 0 {
		f.add("#template: mesh.#Template...")
	} else {
		f.add("#template: mesh.#Template... & {\n%s\n%s\n}", inputs, strings.Join(shuffled(m.dice, body, "template"), "\n"))
	}
	m.second()
	m.outsideTemplate(f)
}

// bolder are overrides that are more than an annotation.
func (m *maker) bolder(f *file) []string {
	var body []string
	add := func(format string, args ...any) { body = append(body, fmt.Sprintf(format, args...)) }
	first := m.services[0].name
	if m.once("template: type of a manifest's field") {
		add(`service: {owner: string, placement: {...}}`)
	}
	if m.once("template: narrowed manifest") {
		add(`service: owner: !~"^nobody$" & =~"^."`)
	}
	if m.once("template: narrowed default") {
		add(`service: _class?: *"iron" | "iron"`)
		add(`if service._class != _|_ {resources: [string]: metadata: annotations: "parity.example.com/class": service._class}`)
	}
	if m.once("template: completed manifest") {
		add(`service: _later?: "now"`)
		add(`if (service._later & string) != _|_ {resources: [string]: metadata: annotations: "parity.example.com/later": service._later}`)
	}
	if m.once("template: default of a manifest's field") {
		add(`service: sidecar: *false | bool`)
		add(`if service.sidecar {%s}`, note("sidecar", `"yes"`))
	}
	if m.once("template: constraint on an input") {
		add(`callers: [...=~"^[a-z0-9]"]`)
	}
	if m.once("template: conditional on the cluster") {
		add(`if cluster == %q {resources: [string]: metadata: annotations: "parity.example.com/here": "yes"}`, m.clusters[0].name)
	}
	if m.once("template: one service") {
		add(`if name == %q {resources: [string]: metadata: annotations: "parity.example.com/first": "yes"}`, first)
	}
	if m.once("template: a whole resource") {
		add(`resources: "Telemetry/\(namespace)/\(name)": {
	apiVersion: "telemetry.istio.io/v1"
	kind:       "Telemetry"
	metadata: {"name": name, "namespace": namespace}
	spec: {selector: matchLabels: app: name, accessLogging: [{providers: [{name: "otel"}]}]}
}`)
	}
	if m.once("template: defaults of a spec") {
		add(`resources: [=~"^DestinationRule/"]: spec: trafficPolicy: connectionPool: tcp: maxConnectionDuration: *"9h" | string`)
	}
	if m.once("template: elements of a list") {
		add(`resources: [=~"^VirtualService/.*[^c]$"]: spec: {http?: [...{retries: *{attempts: 2} | {...}, ...}], ...}`)
	}
	if m.once("template: let") {
		add("let who = {id: \"\\(name).\\(namespace)\"}\nresources: [string]: metadata: annotations: \"parity.example.com/who\": who.id")
	}
	if m.once("template: shared struct") {
		m.file("levels.cue").add(`_levels: {"payments": "1", [string]: string, "storefront": "2"}`)
		add("%s", note("level", `[if _levels[service.owner] != _|_ {_levels[service.owner]}, "9"][0]`))
	}
	if m.once("template: definition of a package") {
		m.library("known", `#Annotate: {of: string, out: "team of \(of)"}`)
		add(`resources: [string]: metadata: annotations: "parity.example.com/known": (%s.#Annotate & {of: service.owner}).out`, m.importing(f, modulePath+"/lib/known"))
	}
	if m.once("template: overrules a default of manifests") {
		// Of the manifest a default is left, which a resource may choose otherwise; data has chosen.
		m.file("levels.cue").add(`services: [string]: traffic: connectionPool: http: maxConcurrentStreams: *1000 | int`)
		add(`resources: [=~"^DestinationRule/"]: spec: trafficPolicy: connectionPool: http: maxConcurrentStreams: 2000`)
	}
	if m.once("template: chooses among the values of manifests") {
		m.file("levels.cue").add(`services: [string]: traffic: outlierDetection: consecutiveLocalOriginFailures: *1 | 2`)
		add(`resources: [=~"^DestinationRule/"]: spec: {trafficPolicy?: outlierDetection?: consecutiveLocalOriginFailures?: !=1, ...}`)
	}
	if m.once("template: overrules a default of the inventory") {
		add(`resources: [=~"^ServiceEntry/.*-remote$"]: spec: {endpoints?: [...{ports?: {[string]: 15999}, ...}], ...}`)
	}
	if m.once("template: manifest unified again") {
		add("%s", note("again", `(service & {_seen: "by \(service.owner)"})._seen`))
	}
	if m.once("template: hidden field of the settings") {
		m.file("levels.cue").add(`settings: _company: "Café Ünïcode"`)
		add("%s", note("company", `settings._company`))
	}
	if m.once("template: hidden field of a cluster") {
		m.file("levels.cue").add(`clusters: [C=string]: _site: "site of \(C)"`)
		add("%s", note("site", `clusters[cluster]._site`))
	}
	if m.once("template: hidden definition") {
		m.file("levels.cue").add(`services: [N=string]: _#größe: "\(N): groß"`)
		add("%s", note("groesse", `service._#größe`))
	}
	if m.once("template: key of the result") {
		add(`resources: [K=string]: metadata: annotations: "parity.example.com/key": K`)
	}
	return body
}

// second is more of the templates in another file.
func (m *maker) second() {
	if m.once("template: split over files") {
		m.file(m.platform() + "template.cue").add(`#template: {name: _, resources: [string]: metadata: annotations: "parity.example.com/second": "of \(name)"}`)
	}
	if m.once("template: from a hidden part") {
		m.file("part.cue").add(`_part: {service: _, resources: [string]: metadata: annotations: "parity.example.com/part": service.owner, ...}`)
		m.file("part.cue").add(`#template: _part`)
	}
}

func (m *maker) outsideTemplate(f *file) {
	var body []string
	if m.once("external template: annotation") {
		body = append(body, `resources: [string]: metadata: annotations: "parity.example.com/external": "\(name) \(external.hosts[0])"`)
	}
	if m.once("external template: hidden field") {
		body = append(body, `if external._cost != _|_ {resources: [string]: metadata: annotations: "parity.example.com/cost": "\(external._cost)"}`)
	}
	if m.once("external template: conditional") {
		body = append(body, `if len(callers) > 1 {resources: [string]: metadata: annotations: "parity.example.com/shared": "by \(len(callers)) in \(cluster)"}`)
	}
	if len(body) == 0 {
		f.add("#externalTemplate: mesh.#ExternalTemplate...")
		return
	}
	f.add("#externalTemplate: mesh.#ExternalTemplate... & {\nname: _\nexternal: _\ncallers: _\ncluster: _\n%s\n}", strings.Join(body, "\n"))
}
