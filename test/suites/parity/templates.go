package parity

import (
	"fmt"
	"strings"
)

// annotation is a feature that adds an annotation to resources.
type annotation struct {
	feature, key string
	// when is the condition, "" for none. value is the value. imports lists the packages of both.
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

// inputs declares the inputs of #Template that annotations use, except for clusters and externals.
const inputs = "name: _\nnamespace: _\nservice: _\ncluster: _\nsettings: _\ncallers: _\nremotes: _\npods: _\nexported: _\nhosts: _"

// writeTemplates writes #template and #externalTemplate.
func (g *generator) writeTemplates() {
	f := g.file("mesh.cue")
	if g.apply("template: in a file of its own") {
		f = g.file("templates.cue")
		f.head = append(f.head, "@experiment(explicitopen)")
		f.imports["isthmus.dev/mesh"] = "mesh"
	}
	var body []string
	for _, a := range annotations {
		if !g.apply(a.feature) {
			continue
		}
		pattern := pick(g.random, []string{"string", "string", `=~"^(ServiceEntry|DestinationRule)/"`, `!~"^Gateway/"`}, a.feature, "pattern")
		text := fmt.Sprintf(`resources: [%s]: metadata: annotations: "parity.example.com/%s": %s`, pattern, a.key, a.value)
		if a.when != "" {
			text = "if " + a.when + " {" + text + "}"
		}
		for _, path := range a.imports {
			text = g.qualify(f, path, text)
		}
		body = append(body, text)
	}
	body = append(body, g.templateOverrides(f)...)
	for _, text := range g.template {
		if strings.Contains(text, "strings.") {
			text = g.qualify(f, "strings", text)
		}
		body = append(body, text)
	}
	if len(body) == 0 {
		f.add("#template: mesh.#Template...")
	} else {
		f.add("#template: mesh.#Template... & {\n%s\n%s\n}", inputs, strings.Join(shuffled(g.random, body, "template"), "\n"))
	}
	g.writeSecondTemplates()
	g.writeExternalTemplate(f)
}

// templateOverrides are the features of templates that do more than add an annotation.
func (g *generator) templateOverrides(f *file) []string {
	var body []string
	add := func(format string, args ...any) { body = append(body, fmt.Sprintf(format, args...)) }
	first := g.services[0].name
	if g.apply("template: type of a manifest's field") {
		add(`service: {owner: string, placement: {...}}`)
	}
	if g.apply("template: narrowed manifest") {
		add(`service: owner: !~"^nobody$" & =~"^."`)
	}
	if g.apply("template: narrowed default") {
		add(`service: _class?: *"iron" | "iron"`)
		add(`if service._class != _|_ {resources: [string]: metadata: annotations: "parity.example.com/class": service._class}`)
	}
	if g.apply("template: completed manifest") {
		add(`service: _later?: "now"`)
		add(`if (service._later & string) != _|_ {resources: [string]: metadata: annotations: "parity.example.com/later": service._later}`)
	}
	if g.apply("template: default of a manifest's field") {
		add(`service: sidecar: *false | bool`)
		add(`if service.sidecar {%s}`, annotationText("sidecar", `"yes"`))
	}
	if g.apply("template: constraint on an input") {
		add(`callers: [...=~"^[a-z0-9]"]`)
	}
	if g.apply("template: conditional on the cluster") {
		add(`if cluster == %q {resources: [string]: metadata: annotations: "parity.example.com/here": "yes"}`, g.clusters[0].name)
	}
	if g.apply("template: one service") {
		add(`if name == %q {resources: [string]: metadata: annotations: "parity.example.com/first": "yes"}`, first)
	}
	if g.apply("template: a whole resource") {
		add(`resources: "Telemetry/\(namespace)/\(name)": {
	apiVersion: "telemetry.istio.io/v1"
	kind:       "Telemetry"
	metadata: {"name": name, "namespace": namespace}
	spec: {selector: matchLabels: app: name, accessLogging: [{providers: [{name: "otel"}]}]}
}`)
	}
	if g.apply("template: defaults of a spec") {
		add(`resources: [=~"^DestinationRule/"]: spec: trafficPolicy: connectionPool: tcp: maxConnectionDuration: *"9h" | string`)
	}
	if g.apply("template: elements of a list") {
		add(`resources: [=~"^VirtualService/.*[^c]$"]: spec: {http?: [...{retries: *{attempts: 2} | {...}, ...}], ...}`)
	}
	if g.apply("template: let") {
		add("let who = {id: \"\\(name).\\(namespace)\"}\nresources: [string]: metadata: annotations: \"parity.example.com/who\": who.id")
	}
	if g.apply("template: shared struct") {
		g.file("levels.cue").add(`_levels: {"payments": "1", [string]: string, "storefront": "2"}`)
		add("%s", annotationText("level", `[if _levels[service.owner] != _|_ {_levels[service.owner]}, "9"][0]`))
	}
	if g.apply("template: definition of a package") {
		g.addToPackage("known", `#Annotate: {of: string, out: "team of \(of)"}`)
		add(`resources: [string]: metadata: annotations: "parity.example.com/known": (%s.#Annotate & {of: service.owner}).out`, g.importName(f, modulePath+"/lib/known"))
	}
	if g.apply("template: overrules a default of manifests") {
		// The manifest keeps the default, so a resource may override it. Plain data would have lost
		// that.
		g.file("levels.cue").add(`services: [string]: traffic: connectionPool: http: maxConcurrentStreams: *1000 | int`)
		add(`resources: [=~"^DestinationRule/"]: spec: trafficPolicy: connectionPool: http: maxConcurrentStreams: 2000`)
	}
	if g.apply("template: chooses among the values of manifests") {
		g.file("levels.cue").add(`services: [string]: traffic: outlierDetection: consecutiveLocalOriginFailures: *1 | 2`)
		add(`resources: [=~"^DestinationRule/"]: spec: {trafficPolicy?: outlierDetection?: consecutiveLocalOriginFailures?: !=1, ...}`)
	}
	if g.apply("template: overrules a default of the inventory") {
		add(`resources: [=~"^ServiceEntry/.*-remote$"]: spec: {endpoints?: [...{ports?: {[string]: 15999}, ...}], ...}`)
	}
	if g.apply("template: manifest unified again") {
		add("%s", annotationText("again", `(service & {_seen: "by \(service.owner)"})._seen`))
	}
	if g.apply("template: hidden field of the settings") {
		g.file("levels.cue").add(`settings: _company: "Café Ünïcode"`)
		add("%s", annotationText("company", `settings._company`))
	}
	if g.apply("template: hidden field of a cluster") {
		g.file("levels.cue").add(`clusters: [C=string]: _site: "site of \(C)"`)
		add("%s", annotationText("site", `clusters[cluster]._site`))
	}
	if g.apply("template: hidden definition") {
		g.file("levels.cue").add(`services: [N=string]: _#größe: "\(N): groß"`)
		add("%s", annotationText("groesse", `service._#größe`))
	}
	if g.apply("template: key of the result") {
		add(`resources: [K=string]: metadata: annotations: "parity.example.com/key": K`)
	}
	return body
}

// writeSecondTemplates adds to the templates in other files.
func (g *generator) writeSecondTemplates() {
	if g.apply("template: split over files") {
		g.file(g.platformFolder() + "template.cue").add(`#template: {name: _, resources: [string]: metadata: annotations: "parity.example.com/second": "of \(name)"}`)
	}
	if g.apply("template: from a hidden part") {
		g.file("part.cue").add(`_part: {service: _, resources: [string]: metadata: annotations: "parity.example.com/part": service.owner, ...}`)
		g.file("part.cue").add(`#template: _part`)
	}
}

func (g *generator) writeExternalTemplate(f *file) {
	var body []string
	if g.apply("external template: annotation") {
		body = append(body, `resources: [string]: metadata: annotations: "parity.example.com/external": "\(name) \(external.hosts[0])"`)
	}
	if g.apply("external template: hidden field") {
		body = append(body, `if external._cost != _|_ {resources: [string]: metadata: annotations: "parity.example.com/cost": "\(external._cost)"}`)
	}
	if g.apply("external template: conditional") {
		body = append(body, `if len(callers) > 1 {resources: [string]: metadata: annotations: "parity.example.com/shared": "by \(len(callers)) in \(cluster)"}`)
	}
	if len(body) == 0 {
		f.add("#externalTemplate: mesh.#ExternalTemplate...")
		return
	}
	f.add("#externalTemplate: mesh.#ExternalTemplate... & {\nname: _\nexternal: _\ncallers: _\ncluster: _\n%s\n}", strings.Join(body, "\n"))
}
