package meshmodule_test

// accessMistakes are for checks_access.cue: egress, authorization, public gateways and Sidecars.
var accessMistakes = []mistake{
	{
		"a Kubernetes name on a public gateway", "clusters: east: publicGateway: {}\nservices: x: {" + good + "hosts: [\"x.x.svc.cluster.local\"], placement: east: {}, expose: credentialName: \"c\"\n}",
		"service x is exposed, but has Kubernetes names only: give it a host that can be reached from outside", "services.x.expose", 9,
	},
	{
		"a selector that includes the pods of a service with another authorization mode", "services: x: {" + good + "}\nservices: y: {owner: \"y\", ports: http: {port: 81, protocol: \"HTTP\"}, authorization: mode: \"enforce\"\nbackend: {namespace: \"x\", selector: {app: \"x\", role: \"b\"}, serviceAccounts: [\"y\"]}}",
		"services x and y select the same pods, but have different authorization modes: a policy applies to the pods", "services.y.authorization", 9,
	},
	{
		"a method in lower case", "services: x: {" + good + "egress: web: methods: [\"get\"]\n}",
		"service x names the method get: methods are upper case", "services.x.egress.web.methods", 8,
	},
	{
		"an invalid path", "services: x: {" + good + "egress: web: paths: [\"items*all\"]\n}",
		"service x names the path items*all: a path starts with / and may end with *, or starts with * and has no other *", "services.x.egress.web.paths", 8,
	},
	{
		"a limited call of an external", `externals: db: {hosts: ["db.example.com"], ports: https: {port: 443, protocol: "TLS"}}
services: x: {` + good + `egress: db: ports: ["https"]}`,
		"service x limits its calls of external db: limits cannot be enforced outside the mesh", "services.x.egress.db", 9,
	},
	{
		"egress with an unknown port", `services: x: {` + good + `egress: stock: ports: ["http"]}`,
		"service x names port http of service stock, whose ports are grpc", "services.x.egress.stock.ports", 8,
	},
	{
		"egress with methods for a TCP port", `services: db: {` + good + `ports: sql: {port: 5432, protocol: "TCP"}}
services: x: {` + good + `egress: db: methods: ["GET"]}`,
		"service x names methods or paths of service db, whose port sql is not HTTP: list the HTTP ports in ports", "services.x.egress.db", 14,
	},
	{
		"an unknown caller in authorization.callers", `services: x: {` + good + `authorization: callers: ["nobody"]}`,
		"service x lists unknown service nobody in authorization.callers", "services.x.authorization.callers", 8,
	},
	{
		"a call that authorization.callers does not list", `services: x: {` + good + `authorization: callers: ["cart"]}
services: y: {` + good + `egress: x: {}}`,
		"service y calls service x, whose authorization.callers does not list y: ask the owner of x", "services.y.egress.x", 14,
	},
	{
		"an invalid principal in authorization.allow", `services: x: {` + good + `authorization: allow: ["spiffe://cluster.local/ns/a/sa/b"]}`,
		"service x allows spiffe://cluster.local/ns/a/sa/b: a principal has the form TRUSTDOMAIN/ns/NAMESPACE/sa/NAME", "services.x.authorization.allow", 8,
	},
	{
		"authorization for a Kubernetes Service", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: "x", serviceAccounts: ["x"]}
authorization: mode: "audit"}`,
		"service x checks its callers (authorization.mode), which needs backend.selector to select the pods", "services.x.backend.service", 4,
	},
	{
		"authorization for a Kubernetes Service in one cluster", `settings: authorization: mode: "enforce"
services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: "x", serviceAccounts: ["x"]}
placement: east: {}}`,
		"service x checks its callers (authorization.mode), which needs backend.selector to select the pods", "services.x.backend.service", 5,
	},
	{
		"the same pods with two authorization modes", `services: x: {` + good + `}
services: y: {` + good + `authorization: mode: "audit"}`,
		"services x and y select the same pods, but have different authorization modes: a policy applies to the pods", "services.y.authorization", 14,
	},
	{
		"several ports without expose.port", `services: x: {` + good + `ports: admin: {port: 81, protocol: "HTTP"}
expose: credentialName: "x"}`,
		"service x has several ports: name one in expose.port", "services.x.expose", 9,
	},
	{
		"an unknown port on a public gateway", `services: x: {` + good + `expose: {port: "admin", credentialName: "x"}}`,
		"service x exposes port admin, which it does not have", "services.x.expose.port", 8,
	},
	{
		"TCP on a public gateway", `services: x: {` + good + `ports: db: {port: 5432, protocol: "TCP"}
expose: port: "db"}`,
		"service x exposes port db of protocol TCP: a public gateway routes by host name, which TCP does not have", "services.x.expose", 9,
	},
	{
		"a public gateway without a certificate", `services: x: {` + good + `expose: {}}`,
		"service x is exposed without credentialName, the Secret with the certificate for its hosts", "services.x.expose", 8,
	},
	{
		"a certificate for a TLS port", `services: x: {` + good + `ports: tls: {port: 443, protocol: "TLS"}
expose: {port: "tls", credentialName: "x"}}`,
		"service x exposes a TLS port, which the gateway passes through to the pods, so credentialName has no effect", "services.x.expose.credentialName", 9,
	},
	{
		"a public gateway of a cluster that is not in the inventory", `services: x: {` + good + `expose: {credentialName: "x", clusters: ["nord"]}}`,
		"service x is exposed in unknown cluster nord", "services.x.expose.clusters", 8,
	},
	{
		"a cluster without a public gateway", `services: x: {` + good + `expose: {credentialName: "x", clusters: ["east"]}}`,
		"service x is exposed in cluster east, which has no publicGateway", "services.x.expose.clusters", 8,
	},
	{
		"no cluster of the service has a public gateway", `services: x: {` + good + `placement: east: {}
expose: credentialName: "x"}`,
		"service x is exposed, but no cluster that runs it has a publicGateway: name other clusters in expose.clusters", "services.x.expose", 9,
	},
	{
		"a Sidecar for a Kubernetes Service", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: "x", serviceAccounts: ["x"]}
sidecar: true}`,
		"service x has a Sidecar, which needs backend.selector to select the pods", "services.x.sidecar", 5,
	},
	{
		"two Sidecars for the same pods", `services: x: {` + good + `sidecar: true}
services: y: {` + good + `sidecar: true}`,
		"services x and y select the same pods: only one can have a Sidecar for them", "services.y.sidecar", 14,
	},
}
