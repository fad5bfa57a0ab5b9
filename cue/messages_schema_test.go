package meshmodule_test

// schemaMistakes are for schema.cue and the missing fields in checks.cue.
var schemaMistakes = []mistake{
	{
		"a missing owner", "services: x: {ports: http: {port: 80, protocol: \"HTTP\"}, backend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}}",
		"owner is missing", "services.x", 3,
	},
	{
		"a missing port number", "services: x: {" + good + "ports: admin: protocol: \"HTTP\"\n}",
		"port is missing", "services.x.ports.admin", 8,
	},
	{
		"a missing protocol", "services: x: {" + good + "ports: admin: port: 81\n}",
		"protocol is missing: it must be HTTP, HTTP2, GRPC, TCP or TLS", "services.x.ports.admin", 8,
	},
	{
		"a selector of the wrong type", "services: x: {owner: \"x\", ports: http: {port: 80, protocol: \"HTTP\"}\nbackend: {namespace: \"x\", selector: \"app=x\", serviceAccounts: [\"x\"]}}",
		"the selector of service x must be a set of at least one pod label", "services.x.backend.selector", 4,
	},
	{
		"a misspelt field of a manifest", "services: x: {" + good + "egres: cart: {}\n}",
		"field not allowed", "services.x.egres", 8,
	},
	{
		"a misspelt field at the top level", "servces: x: owner: \"x\"",
		"field not allowed", "servces", 3,
	},
	{
		"a misspelt field of a cluster", "clusters: east: regoin: \"x\"",
		"field not allowed", "clusters.east.regoin", 3,
	},
	{
		"a misspelt field of a setting", "settings: domian: \"x\"",
		"field not allowed", "settings.domian", 3,
	},
	{
		"a value of the wrong type", "services: x: {" + good + "ports: admin: {port: \"81\", protocol: \"HTTP\"}\n}",
		"port must be a number from 1 to 65535", "services.x.ports.admin", 8,
	},
	{
		"an unknown protocol", "services: x: {" + good + "ports: admin: {port: 81, protocol: \"HTPP\"}\n}",
		"protocol must be HTTP, HTTP2, GRPC, TCP or TLS", "services.x.ports.admin", 8,
	},
	{
		"an unknown state of a cluster", "clusters: nord: {region: \"r\", state: \"asleep\"}",
		"state must be active, draining or down", "clusters.nord", 3,
	},
	{
		"an invalid name of a service", "services: \"X_y\": {" + good + "}",
		"\"X_y\" must consist of lower case letters, digits and dashes, 63 characters at most", "services.X_y", 3,
	},
	{
		"a cluster without a region", "clusters: nord: gateways: [{address: \"192.0.2.1\"}]",
		"region is missing", "clusters.nord", 3,
	},
	{
		"a gateway without an address", "clusters: nord: {region: \"r\", gateways: [{port: 443}]}",
		"address is missing", "clusters.nord.gateways.0", 3,
	},
	{
		"an external without hosts", "externals: x: ports: https: {port: 443, protocol: \"TLS\"}",
		"hosts is missing", "externals.x", 3,
	},
	{
		"an invalid address of a gateway", "clusters: nord: {region: \"r\", gateways: [{address: \"999.0.2.2\"}]}",
		"address must be an IP address or a host name", "clusters.nord.gateways.0", 3,
	},
	{
		"a gateway with a port in its address", "clusters: nord: {region: \"r\", gateways: [{address: \"192.0.2.3:15443\"}]}",
		"address must be an IP address or a host name", "clusters.nord.gateways.0", 3,
	},
	{
		"a mistake in an external that is called", "externals: x: {hosts: \"x.example.com\", ports: https: {port: 443, protocol: \"TLS\"}}\nservices: web: egress: x: {}",
		"hosts must be a list with at least one host name, which may start with *.", "externals.x", 3,
	},
	{
		"an owner that is not a string", `services: x: {owner: 7, ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "x", selector: app: "x", serviceAccounts: ["x"]}}`,
		"owner must be a non-empty string", "services.x", 3,
	},
	{
		"a service without a namespace", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {selector: app: "x", serviceAccounts: ["x"]}}`,
		"backend.namespace is missing", "services.x.backend.namespace", 4,
	},
	{
		"a service without pods", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", serviceAccounts: ["x"]}}`,
		"backend.selector (or backend.service) is missing", "services.x.backend.selector", 4,
	},
	{
		"a service without identities", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", selector: app: "x"}}`,
		"backend.serviceAccounts is missing: callers check the identity of the pods they reach", "services.x.backend.serviceAccounts", 4,
	},
	{
		"a missing port number of an external", `externals: x: {hosts: ["x.example.com"], ports: https: protocol: "TLS"}`,
		"port is missing", "externals.x.ports.https", 3,
	},
	{
		"an unknown spread", `services: x: {` + good + `spread: "even"}`,
		"spread must be nearest, weighted or local-only", "services.x", 3,
	},
	{
		"an unknown mode of authorization", `services: x: {` + good + `authorization: mode: "on"}`,
		"mode must be off, audit or enforce", "services.x.authorization", 8,
	},
	{
		"an unknown mode of authorization in the settings", `settings: authorization: mode: "on"`,
		"mode must be off, audit or enforce", "settings.authorization", 3,
	},
	{
		"an address of a placement with a port", `services: x: {` + good + `placement: east: address: "192.0.2.3:80"}`,
		"address must be an IP address or a host name", "services.x.placement.east", 8,
	},
	{
		"a region that is not a string", `clusters: nord: region: 7`,
		"region must be a non-empty string", "clusters.nord", 3,
	},
	{
		"an unknown value of dns", `clusters: nord: {region: "r", dns: "coredns"}`,
		"dns must be none or capture", "clusters.nord", 3,
	},
	{
		"an unknown kind of control plane", `clusters: nord: {region: "r", controlPlane: kind: "external"}`,
		"kind must be primary or remote", "clusters.nord.controlPlane", 3,
	},
	{
		"an invalid name of a cluster", `clusters: Nord: region: "r"`,
		"\"Nord\" must consist of lower case letters, digits and dashes, 63 characters at most", "clusters.Nord", 3,
	},
	{
		"an invalid name of an external", `externals: X_y: {hosts: ["x.example.com"], ports: https: {port: 443, protocol: "TLS"}}`,
		"\"X_y\" must consist of lower case letters, digits and dashes, 63 characters at most", "externals.X_y", 3,
	},
	{
		"a Kubernetes Service of the wrong type", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: 7, serviceAccounts: ["x"]}}`,
		"the Kubernetes Service of service x must consist of lower case letters, digits and dashes, 63 characters at most", "services.x.backend.service", 4,
	},
	{
		"identities that are not a list", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", selector: app: "x", serviceAccounts: "x"}}`,
		"the serviceAccounts of service x must be a list of at least one name", "services.x.backend.serviceAccounts", 4,
	},
}
