package meshmodule_test

// routeMistakes are for checks_routes.cue.
var routeMistakes = []mistake{
	{
		"a route to an unknown version", "services: x: {" + good + "routes: [{to: [{version: \"v9\"}]}]\n}",
		"route 0 of service x names version v9, which the service does not define", "services.x.routes.0", 8,
	},
	{
		"a route to a version without a placement", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v2\"}]}]\nplacement: east: versions: [\"v1\"]\n}",
		"service x routes to version v2, which no placement runs", "services.x.routes.0", 9,
	},
	{
		"several destinations without weights", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v1\", weight: 1}, {version: \"v2\"}]}]\n}",
		"route 0 of service x needs one destination, or several that all have a weight", "services.x.routes.0.to", 9,
	},
	{
		"a redirect with destinations", "services: x: {" + good + "routes: [{redirect: uri: \"/\", to: [{version: \"v1\"}]}]\n}",
		"route 0 of service x has redirect or directResponse, so it cannot have destinations", "services.x.routes.0.to", 8,
	},
	{
		"HTTP routes without an HTTP port", "services: x: {owner: \"x\", backend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}\nports: db: {port: 5432, protocol: \"TCP\"}\nroutes: [{timeout: \"1s\"}]\n}",
		"service x has routes, but no port of protocol HTTP, HTTP2 or GRPC", "services.x.routes", 5,
	},
	{
		"destinations without a weight above 0", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v1\", weight: 0}, {version: \"v2\", weight: 0}]}]\n}",
		"the destinations of route 0 of service x have no weight above 0", "services.x.routes.0.to", 9,
	},
	{
		"a route for an unknown port", "services: x: {" + good + "routes: [{match: [{port: 8080}]}]\n}",
		"route 0 of service x matches port 8080, but the service has no such port of protocol HTTP, HTTP2 or GRPC", "services.x.routes.0", 8,
	},
	{
		"perHost for a host of another service", `services: x: {` + good + `perHost: "y.example.com": routes: [{timeout: "1s"}]}`,
		"service x has perHost settings for y.example.com, which is not one of its hosts (x.x.global)", "services.x.perHost.y.example.com", 8,
	},
	{
		"a mistake in the routes of one host", `services: x: {` + good + `hosts: ["a.com", "b.com"]
perHost: "b.com": routes: [{to: [{version: "v9"}]}]}`,
		"route 0 of service x names version v9, which the service does not define", "services.x.perHost.b.com.routes.0", 9,
	},
	{
		"TCP routes without a TCP port", `services: x: {` + good + `tcpRoutes: [{to: [{version: "v1"}]}]}`,
		"service x has tcpRoutes, but no port of protocol TCP", "services.x.tcpRoutes", 8,
	},
	{
		"TLS routes without a TLS port", `services: x: {` + good + `tlsRoutes: [{to: [{version: "v1"}]}]}`,
		"service x has tlsRoutes, but no port of protocol TLS", "services.x.tlsRoutes", 8,
	},
	{
		"a TLS route for a host of another service", `services: x: {` + good + `ports: tls: {port: 443, protocol: "TLS"}
tlsRoutes: [{match: [{sniHosts: ["y.example.com"]}], to: [{version: "v1"}]}]}`,
		"route 0 of service x matches the name y.example.com, which is not one of the service's hosts (x.x.global)", "services.x.tlsRoutes.0", 9,
	},
	{
		"a TCP route for an HTTP port", `services: x: {` + good + `ports: db: {port: 5432, protocol: "TCP"}
tcpRoutes: [{match: [{port: 80}]}]}`,
		"route 0 of service x matches port 80, but the service has no such port of protocol TCP", "services.x.tcpRoutes.0", 9,
	},
	{
		"a route to a cluster where the service is not placed", `services: x: {` + good + `placement: east: {}
routes: [{to: [{cluster: "west"}]}]}`,
		"route 0 of service x names cluster west, where the service is not placed", "services.x.routes.0", 9,
	},
	{
		"a mirror to an unknown version", `services: x: {` + good + `routes: [{mirror: version: "v9"}]}`,
		"route 0 of service x names version v9, which the service does not define", "services.x.routes.0", 8,
	},
	{
		"a mirror in a cluster where the service is not placed", `services: x: {` + good + `placement: east: {}
routes: [{mirror: cluster: "west"}]}`,
		"route 0 of service x names cluster west, where the service is not placed", "services.x.routes.0", 9,
	},
	{
		"a version in a cluster that does not run it", `services: x: {` + good + `versions: v2: labels: version: "v2"
placement: {east: versions: ["v1"], west: {}}
routes: [{to: [{version: "v2", cluster: "east"}]}]}`,
		"route 0 of service x names version v2 in cluster east, which does not run it", "services.x.routes.0", 10,
	},
	{
		"a version with the name of a cluster's subset", `services: x: {` + good + `versions: "in-east": labels: version: "v2"
placement: east: {}
routes: [{to: [{cluster: "east"}]}]}`,
		"route 0 of service x needs the subset name in-east, which is longer than 63 characters or is the name of a version: rename the version or the cluster",
		"services.x.routes.0", 10,
	},
	{
		"a version with all labels of the selector, and routes to clusters", `services: x: {` + good + `versions: v2: labels: app: "x"
placement: {east: {}, west: {}}
routes: [{to: [{cluster: "east", weight: 1}, {cluster: "west", weight: 1}]}]}`,
		"route 0 of service x names a cluster, but version v2 has all labels of backend.selector: remove from the version the labels that all pods have",
		"services.x.routes.0", 10,
	},
}
