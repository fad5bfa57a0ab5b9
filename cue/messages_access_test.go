package meshmodule_test

// accessMistakes: who may call, public entry, and what proxies know (checks_access.cue).
var accessMistakes = []mistake{
	{
		"a Kubernetes name on a public gateway", "clusters: east: publicGateway: {}\nservices: x: {" + good + "hosts: [\"x.x.svc.cluster.local\"], placement: east: {}, expose: credentialName: \"c\"\n}",
		"service x is exposed, but has Kubernetes names only: give it a host that can be reached from outside", "services.x.expose", 9,
	},
	{
		"pods of one service among those of another that is guarded", "services: x: {" + good + "}\nservices: y: {owner: \"y\", ports: http: {port: 81, protocol: \"HTTP\"}, authorization: mode: \"enforce\"\nbackend: {namespace: \"x\", selector: {app: \"x\", role: \"b\"}, serviceAccounts: [\"y\"]}}",
		"services x and y select the same pods, but are guarded differently: a policy is one for the pods", "services.y.authorization", 9,
	},
	{
		"a method in lower case", "services: x: {" + good + "egress: web: methods: [\"get\"]\n}",
		"service x names the method get, which no request has: methods are upper case", "services.x.egress.web.methods", 8,
	},
	{
		"a path that cannot be", "services: x: {" + good + "egress: web: paths: [\"items*all\"]\n}",
		"service x names the path items*all, which no request has: a path begins with / or *, and has no other * but at its end", "services.x.egress.web.paths", 8,
	},
	{
		"a narrowed call of an external", `externals: db: {hosts: ["db.example.com"], ports: https: {port: 443, protocol: "TLS"}}
services: x: {` + good + `egress: db: ports: ["https"]}`,
		"service x narrows its calls of external db, which nobody outside the mesh would enforce", "services.x.egress.db", 9,
	},
	{
		"a need for a port that is not there", `services: x: {` + good + `egress: stock: ports: ["http"]}`,
		"service x names port http of service stock, which has grpc", "services.x.egress.stock.ports", 8,
	},
	{
		"a need for methods of a port that has none", `services: db: {` + good + `ports: sql: {port: 5432, protocol: "TCP"}}
services: x: {` + good + `egress: db: methods: ["GET"]}`,
		"service x names methods or paths of service db, whose port sql is not HTTP: name the ports they are for", "services.x.egress.db", 14,
	},
	{
		"a caller that nobody defines", `services: x: {` + good + `authorization: callers: ["nobody"]}`,
		"service x lets unknown service nobody call", "services.x.authorization.callers", 8,
	},
	{
		"a call that the callee's owner did not agree to", `services: x: {` + good + `authorization: callers: ["cart"]}
services: y: {` + good + `egress: x: {}}`,
		"service y calls service x, which does not list it in authorization.callers: ask its owner", "services.y.egress.x", 14,
	},
	{
		"a further caller that is no principal", `services: x: {` + good + `authorization: allow: ["spiffe://cluster.local/ns/a/sa/b"]}`,
		"service x allows spiffe://cluster.local/ns/a/sa/b, which is no principal: TRUSTDOMAIN/ns/NAMESPACE/sa/NAME", "services.x.authorization.allow", 8,
	},
	{
		"guarded pods that cannot be told", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: "x", serviceAccounts: ["x"]}
authorization: mode: "audit"}`,
		"the callers of service x are checked (authorization.mode), at pods that only backend.selector can tell", "services.x.backend.service", 4,
	},
	{
		"guarded pods that cannot be told in one cluster", `settings: authorization: mode: "enforce"
services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: "x", serviceAccounts: ["x"]}
placement: east: {}}`,
		"the callers of service x are checked (authorization.mode), at pods that only backend.selector can tell", "services.x.backend.service", 5,
	},
	{
		"the same pods guarded in two ways", `services: x: {` + good + `}
services: y: {` + good + `authorization: mode: "audit"}`,
		"services x and y select the same pods, but are guarded differently: a policy is one for the pods", "services.y.authorization", 14,
	},
	{
		"one of several ports on a public gateway", `services: x: {` + good + `ports: admin: {port: 81, protocol: "HTTP"}
expose: credentialName: "x"}`,
		"service x has several ports: expose.port has to name one", "services.x.expose", 9,
	},
	{
		"a port on a public gateway that is not there", `services: x: {` + good + `expose: {port: "admin", credentialName: "x"}}`,
		"service x exposes port admin, which it does not have", "services.x.expose.port", 8,
	},
	{
		"TCP on a public gateway", `services: x: {` + good + `ports: db: {port: 5432, protocol: "TCP"}
expose: port: "db"}`,
		"service x exposes port db of protocol TCP: a public gateway tells services apart by name, which TCP has none of", "services.x.expose", 9,
	},
	{
		"a public gateway without a certificate", `services: x: {` + good + `expose: {}}`,
		"service x is exposed without credentialName, the Secret with the certificate of its hosts", "services.x.expose", 8,
	},
	{
		"a certificate that nobody shows", `services: x: {` + good + `ports: tls: {port: 443, protocol: "TLS"}
expose: {port: "tls", credentialName: "x"}}`,
		"service x exposes a TLS port, which is passed through: the pods have the certificate, so credentialName has no effect", "services.x.expose.credentialName", 9,
	},
	{
		"a public gateway of a cluster that is not in the inventory", `services: x: {` + good + `expose: {credentialName: "x", clusters: ["nord"]}}`,
		"service x is exposed in unknown cluster nord", "services.x.expose.clusters", 8,
	},
	{
		"a public gateway of a cluster that has none", `services: x: {` + good + `expose: {credentialName: "x", clusters: ["east"]}}`,
		"service x is exposed in cluster east, which has no publicGateway", "services.x.expose.clusters", 8,
	},
	{
		"a public gateway where no cluster has one", `services: x: {` + good + `placement: east: {}
expose: credentialName: "x"}`,
		"service x is exposed, but no cluster that runs it has a publicGateway: name others in expose.clusters", "services.x.expose", 9,
	},
	{
		"a Sidecar for pods that cannot be told", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: "x", serviceAccounts: ["x"]}
sidecar: true}`,
		"service x wants a Sidecar, which needs backend.selector to find its pods", "services.x.sidecar", 5,
	},
	{
		"two Sidecars for the same pods", `services: x: {` + good + `sidecar: true}
services: y: {` + good + `sidecar: true}`,
		"services x and y select the same pods: only one can have a Sidecar for them", "services.y.sidecar", 14,
	},
}
