package meshmodule_test

// routeMistakes: what a route names is not there, or cannot be together (checks_routes.cue).
var routeMistakes = []mistake{
	{
		"a route to a version that nobody defines", "services: x: {" + good + "routes: [{to: [{version: \"v9\"}]}]\n}",
		"service x has no version v9, which its route 0 names", "services.x.routes.0", 8,
	},
	{
		"a route to a version that runs nowhere", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v2\"}]}]\nplacement: east: versions: [\"v1\"]\n}",
		"service x routes to version v2, which no placement runs", "services.x.routes.0", 9,
	},
	{
		"several destinations without weights", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v1\", weight: 1}, {version: \"v2\"}]}]\n}",
		"route 0 of service x needs one destination, or several that all have a weight", "services.x.routes.0.to", 9,
	},
	{
		"a redirect that has destinations", "services: x: {" + good + "routes: [{redirect: uri: \"/\", to: [{version: \"v1\"}]}]\n}",
		"route 0 of service x answers by itself (redirect, directResponse), so it cannot have destinations", "services.x.routes.0.to", 8,
	},
	{
		"routes without a port that has routes", "services: x: {owner: \"x\", backend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}\nports: db: {port: 5432, protocol: \"TCP\"}\nroutes: [{timeout: \"1s\"}]\n}",
		"service x has routes, but no port of protocol HTTP, HTTP2 or GRPC", "services.x.routes", 5,
	},
	{
		"destinations that all weigh nothing", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v1\", weight: 0}, {version: \"v2\", weight: 0}]}]\n}",
		"the destinations of route 0 of service x have no weight above 0", "services.x.routes.0.to", 9,
	},
	{
		"a route for a port that is not there", "services: x: {" + good + "routes: [{match: [{port: 8080}]}]\n}",
		"route 0 of service x matches port 8080, which the service does not have with protocol HTTP, HTTP2 or GRPC", "services.x.routes.0", 8,
	},
	{
		"settings for a host that is not the service's", `services: x: {` + good + `perHost: "y.example.com": routes: [{timeout: "1s"}]}`,
		"service x has settings for host y.example.com, which is none of its hosts: x.x.global", "services.x.perHost.y.example.com", 8,
	},
	{
		"a mistake in the routes of one host", `services: x: {` + good + `hosts: ["a.com", "b.com"]
perHost: "b.com": routes: [{to: [{version: "v9"}]}]}`,
		"service x has no version v9, which its route 0 names", "services.x.perHost.b.com.routes.0", 9,
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
		"a TLS route for a name of others", `services: x: {` + good + `ports: tls: {port: 443, protocol: "TLS"}
tlsRoutes: [{match: [{sniHosts: ["y.example.com"]}], to: [{version: "v1"}]}]}`,
		"route 0 of service x matches the name y.example.com, which is none of the service's hosts: x.x.global", "services.x.tlsRoutes.0", 9,
	},
	{
		"a TCP route for a port that is HTTP", `services: x: {` + good + `ports: db: {port: 5432, protocol: "TCP"}
tcpRoutes: [{match: [{port: 80}]}]}`,
		"route 0 of service x matches port 80, which the service does not have with protocol TCP", "services.x.tcpRoutes.0", 9,
	},
	{
		"a route to a cluster where the service is not placed", `services: x: {` + good + `placement: east: {}
routes: [{to: [{cluster: "west"}]}]}`,
		"service x is not placed in cluster west, which its route 0 names", "services.x.routes.0", 9,
	},
	{
		"a mirror of a version that nobody defines", `services: x: {` + good + `routes: [{mirror: version: "v9"}]}`,
		"service x has no version v9, which its route 0 names", "services.x.routes.0", 8,
	},
	{
		"a mirror in a cluster where the service is not placed", `services: x: {` + good + `placement: east: {}
routes: [{mirror: cluster: "west"}]}`,
		"service x is not placed in cluster west, which its route 0 names", "services.x.routes.0", 9,
	},
	{
		"a version in a cluster that runs others only", `services: x: {` + good + `versions: v2: labels: version: "v2"
placement: {east: versions: ["v1"], west: {}}
routes: [{to: [{version: "v2", cluster: "east"}]}]}`,
		"service x does not run version v2 in cluster east, as its route 0 has it", "services.x.routes.0", 10,
	},
	{
		"a version that has the name of a cluster's subset", `services: x: {` + good + `versions: "in-east": labels: version: "v2"
placement: east: {}
routes: [{to: [{cluster: "east"}]}]}`,
		"route 0 of service x needs the subset name in-east, which is longer than 63 characters or a version: give the version or the cluster another name",
		"services.x.routes.0", 10,
	},
	{
		"versions that select no less than the service, beside gateways", `services: x: {` + good + `versions: v2: labels: app: "x"
placement: {east: {}, west: {}}
routes: [{to: [{cluster: "east", weight: 1}, {cluster: "west", weight: 1}]}]}`,
		"route 0 of service x names a cluster, but version v2 has all labels of backend.selector: leave those that all pods have to the selector",
		"services.x.routes.0", 10,
	},
}
