package meshmodule_test

// serviceMistakes are for checks.cue: manifests that contradict themselves or each other.
var serviceMistakes = []mistake{
	{
		"an unknown callee", "services: x: {" + good + "egress: carts: {}\n}",
		"service x calls unknown service carts", "services.x.egress.carts", 8,
	},
	{
		"a placement in a cluster that is not in the inventory", "services: x: {" + good + "placement: nord: {}\n}",
		"service x is placed in unknown cluster nord", "services.x.placement.nord", 8,
	},
	{
		"one host claimed twice", "services: x: {" + good + "hosts: [\"stock.stock.global\"]\n}",
		"host stock.stock.global is claimed by services.stock and services.x", "services.x.hosts.stock.stock.global", 8,
	},
	{
		"a host under the reserved suffix", "services: x: {" + good + "hosts: [\"a.isthmus.internal\"]\n}",
		"host a.isthmus.internal ends in the suffix that is reserved for gateways (settings.exportSuffix)", "services.x.hosts.a.isthmus.internal", 8,
	},
	{
		"two services with the same virtual address", "services: x: {" + good + "vip: \"241.0.0.9\"\n}\nservices: y: {" + good + "vip: \"241.0.0.9\"\n}",
		"virtual address 241.0.0.9 is claimed by hosts x.x.global and y.x.global: set vip in one of their services", "services.y.vip", 15,
	},
	{
		"weights in some placements only", "services: x: {" + good + "placement: {east: weight: 70, west: {}}\n}",
		"service x has a weight in some placements, but none in west: set it in all placements that are not on standby, or in none", "services.x.placement.west", 8,
	},
	{
		"a placement with an unknown version", "services: x: {" + good + "placement: east: versions: [\"v9\"]\n}",
		"the placement of service x in east names version v9, which the service does not define", "services.x.placement.east.versions", 8,
	},
	{
		"versions behind a Kubernetes Service", "services: x: {owner: \"x\", ports: http: {port: 80, protocol: \"HTTP\"}\nbackend: {namespace: \"x\", service: \"x\", serviceAccounts: [\"x\"]}\nversions: v1: labels: version: \"v1\"\n}",
		"service x has versions, but its backend is a Kubernetes Service: versions need backend.selector", "services.x.versions", 5,
	},
	{
		"a duplicate port number", "services: x: {" + good + "ports: admin: {port: 80, protocol: \"HTTP\"}\n}",
		"service x has port 80 twice: http, admin", "services.x.ports", 5,
	},
	{
		"no ports", "services: x: {owner: \"x\", backend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}}",
		"service x has no ports", "services.x.ports", 3,
	},
	{
		"a service and an external with one name", "services: x: {" + good + "}\nexternals: x: {hosts: [\"x.example.com\"], ports: https: {port: 443, protocol: \"TLS\"}}",
		"x is both a service and an external", "services.x", 3,
	},
	{
		"a cluster without gateways, called by a public gateway", "clusters: {east: publicGateway: {}, nord: region: \"r\"}\nservices: x: {" + good + "placement: nord: {}\nexpose: {port: \"http\", credentialName: \"c\", clusters: [\"east\"]}\n}",
		"cluster nord has no gateways, but runs services that other clusters call, such as x called by a public gateway", "clusters.nord.gateways", 3,
	},
	{
		"a host without a dot", "services: x: {" + good + "hosts: [\"cart2\"]\n}",
		"host cart2 has no dot: Istio would read it as the name of a Kubernetes Service", "services.x.hosts.cart2", 8,
	},
	{
		"an external at the virtual address of a service", "services: x: {" + good + "vip: \"10.9.0.5\"\n}\nexternals: e: {hosts: [\"e.example.com\"], ports: db: {port: 5432, protocol: \"TCP\"}, addresses: [\"10.9.0.5\"]}",
		"external e has the address 10.9.0.5, which is the virtual address of host x.x.global", "externals.e.addresses", 10,
	},
	{
		"an export suffix in the domain of Kubernetes names", "settings: exportSuffix: \"isthmus.local\"",
		"exportSuffix isthmus.local is in the domain local, which gateways of discovery groups serve: the hosts would overlap", "settings.exportSuffix", 3,
	},
	{
		"localityLbSetting and a gateway with a host name", "services: x: {" + good + "placement: nord: {}\ntraffic: loadBalancer: localityLbSetting: enabled: true\n}\nclusters: nord: {region: \"r\", gateways: [{address: \"nord.example.com\"}]}",
		"service x sets localityLbSetting, but has endpoints that are host names: istiod may fail on this combination (istio/istio#61857)", "services.x.traffic.loadBalancer", 9,
	},
	{
		"a cluster without gateways, called by a service", "clusters: nord: region: \"r\"\nservices: x: {" + good + "placement: nord: {}\n}\nservices: web: egress: x: {}",
		"cluster nord has no gateways, but runs services that other clusters call, such as x called by web", "clusters.nord.gateways", 3,
	},
	{
		"a placement whose backend is both pods and a Service", "services: x: {" + good + "placement: east: backend: {service: \"x\", selector: app: \"x\"}\n}",
		"service x has a backend with both a selector and a service: remove one of them", "services.x.placement.east.backend", 8,
	},
	{
		"versions, and a Kubernetes Service in one cluster", "services: x: {" + good + "placement: east: backend: service: \"x\"\n}",
		"service x has versions, but its backend is a Kubernetes Service: versions need backend.selector", "services.x.versions", 7,
	},
	{
		"a selector that selects everything", "services: x: {owner: \"x\", ports: http: {port: 80, protocol: \"HTTP\"}\nbackend: {namespace: \"x\", selector: {}, serviceAccounts: [\"x\"]}}",
		"the selector of service x must be a set of at least one pod label", "services.x.backend.selector", 4,
	},
	{
		"a namespace of the wrong type", "services: x: {owner: \"x\", ports: http: {port: 80, protocol: \"HTTP\"}\nbackend: {namespace: 7, selector: app: \"x\", serviceAccounts: [\"x\"]}\nhosts: [\"x.example.com\"]}",
		"the namespace of service x must consist of lower case letters, digits and dashes, 63 characters at most", "services.x.backend.namespace", 4,
	},
	{
		"a version without labels", "services: x: {" + good + "versions: v2: {}\n}",
		"version v2 of service x has no labels, so it would select all pods of the service", "services.x.versions.v2", 8,
	},
	{
		"localityLbSetting and a standby", "services: x: {" + good + "traffic: loadBalancer: localityLbSetting: enabled: true\nplacement: {east: {}, west: standby: true}\n}",
		"service x sets localityLbSetting, which Istio cannot combine with the weight or standby of its placements", "services.x.traffic.loadBalancer", 8,
	},
	{
		"two hosts of one service with the same virtual address", "settings: vipRange: {from: \"241.0.0.1\", to: \"241.0.0.1\"}\nservices: x: {owner: \"x\", ports: db: {port: 80, protocol: \"TCP\"}, hosts: [\"a.com\", \"b.com\"]\nbackend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}}",
		"virtual address 241.0.0.1 is claimed by hosts a.com and b.com: set vip in one of their services", "services.x.vip", 4,
	},
	{
		"a vipRange in reverse order", "settings: vipRange: {from: \"241.0.0.9\", to: \"241.0.0.1\"}",
		"vipRange.to is lower than vipRange.from", "settings.vipRange", 3,
	},
	{
		"one gateway in two clusters", "clusters: nord: {region: \"r\", gateways: [{address: \"192.0.2.10\"}]}",
		"gateway 192.0.2.10:15443 is claimed by clusters east and nord: calls for one cluster would enter the other", "clusters.nord.gateways", 3,
	},
	{
		"a TCP external without addresses", "externals: x: {hosts: [\"db.example.com\"], ports: db: {port: 5432, protocol: \"TCP\"}}",
		"external x has a TCP port but no addresses: it would capture that port of every destination", "externals.x.addresses", 3,
	},
	{
		"a TLS external with addresses", "externals: x: {hosts: [\"db.example.com\"], addresses: [\"192.0.2.77\"], ports: db: {port: 443, protocol: \"TLS\"}}",
		"external x has addresses and a port that is matched by host name: addresses are for TCP ports only", "externals.x.addresses", 3,
	},
	{
		"an external without ports", "externals: x: hosts: [\"x.example.com\"]",
		"external x has no ports", "externals.x.ports", 3,
	},
	{
		"a wildcard host with resolution DNS", "externals: x: {hosts: [\"*.example.com\"], resolution: \"DNS\", ports: https: {port: 443, protocol: \"TLS\"}}",
		"external x has a host with a wildcard, which DNS cannot resolve", "externals.x.resolution", 3,
	},
	{
		"a service with the name of a rendering key", "services: gateway: {" + good + "egress: nobody: {}\n}",
		"service gateway calls unknown service nobody", "services.gateway.egress.nobody", 8,
	},
	{
		"a backend that is both pods and a Service", "services: x: {" + good + "backend: service: \"x\"\n}",
		"service x has a backend with both a selector and a service: remove one of them", "services.x.backend", 6,
	},
	{
		"a duplicate port number of an external", `externals: x: {hosts: ["x.example.com"], ports: {https: {port: 443, protocol: "TLS"}, more: {port: 443, protocol: "TLS"}}}`,
		"external x has port 443 twice: https, more", "externals.x.ports", 3,
	},
	{
		"a host of one cluster claimed by another service", `services: x: {` + good + `hosts: ["x.com"], clusterHosts: true, placement: east: {}}
services: y: {` + good + `hosts: ["east.x.com"]}`,
		"host east.x.com is claimed by services.x and services.y", "services.y.hosts.east.x.com", 14,
	},
}
