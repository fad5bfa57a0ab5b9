package meshmodule_test

import "testing"

const (
	versions = selected + "services: api: versions: {v1: labels: version: \"v1\", v2: labels: version: \"v2\"}\n"
	twoHosts = "services: api: hosts: [\"api.example.com\", \"api.example.org\"]\n"
)

var (
	http    = []string{"spec", "http"}
	subsets = []string{"spec", "subsets"}
)

// to is a destination of host in a rendered route.
func to(host, subset string) map[string]any {
	d := map[string]any{"host": host, "port": map[string]any{"number": int64(80)}}
	if subset != "" {
		d["subset"] = subset
	}
	return d
}

// share is a destination with its part of the calls.
func share(subset string, weight int64) map[string]any {
	return map[string]any{"destination": to("api.example.com", subset), "weight": weight}
}

// only is a list of the one destination.
func only(host, subset string) []any {
	return []any{map[string]any{"destination": to(host, subset)}}
}

func TestWhatRoutesBecome(t *testing.T) {
	port := map[string]any{"port": int64(80)}
	shares := []string{"spec", "http", "route"}
	const byCluster = selected + `services: api: placement: {a: {}, b: {}, c: {}}
		services: api: routes: [{to: [{cluster: "a", weight: 50}, {cluster: "b", weight: 30}, {cluster: "c", weight: 20}]}]
		`
	renders(t, []rendering{
		{
			"what no route matches goes to every version",
			versions + `services: api: {placement: c: {}, routes: [{match: [{uri: prefix: "/x"}], to: [{version: "v1"}]}]}`, "a", routes, http,
			[]any{
				map[string]any{
					"match": []any{map[string]any{"uri": map[string]any{"prefix": "/x"}, "port": int64(80)}},
					"route": only("api.example.com", "v1"),
				},
				map[string]any{"match": []any{port}, "route": only("api.example.com", "")},
			},
		},
		{
			"after a route for everything comes no other",
			versions + `services: api: {placement: c: {}, routes: [{to: [{version: "v1"}]}]}`, "a", routes, http,
			[]any{map[string]any{"match": []any{port}, "route": only("api.example.com", "v1")}},
		},
		{
			"shares by cluster are shares of subsets", byCluster, "a", routes, shares,
			[]any{[]any{share("in-a", 50), share("in-b", 30), share("in-c", 20)}},
		},
		{
			"pods of a cluster are told by what selects them, gateways by their label", byCluster, "a", rule, append(subsets, "labels"),
			[]any{map[string]any{"app": "api"}, map[string]any{"isthmus.dev/cluster": "b"}, map[string]any{"isthmus.dev/cluster": "c"}},
		},
		{
			"discovered pods by Istio's name of their cluster too", byCluster + flat, "a", rule, append(subsets, "labels"),
			[]any{
				map[string]any{"app": "api", "topology.istio.io/cluster": "a"},
				map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
				map[string]any{"isthmus.dev/cluster": "c"},
			},
		},
		{
			"a Kubernetes Service by its label, as gateways",
			`services: api: {backend: service: "api", placement: {a: {}, b: {}}, routes: [{to: [{cluster: "a"}]}]}`, "a", rule, append(subsets, "labels"),
			[]any{map[string]any{"isthmus.dev/cluster": "a"}},
		},
		{
			"any version in a cluster is asked for as none", byCluster, "a", rule, append(subsets, "trafficPolicy", "tls", "sni"),
			[]any{
				"outbound_.80_._.api.example.com.isthmus.internal", "outbound_.80_._.api.example.com.isthmus.internal",
				"outbound_.80_._.api.example.com.isthmus.internal",
			},
		},
		{
			"a version in a cluster has a name of its own",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{cluster: "c", version: "v2"}]}]}`, "a", rule, append(subsets, "name"),
			[]any{"v1", "v2", "v2-in-c"},
		},
		{
			"and the labels of both",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{cluster: "c", version: "v2"}]}]}`, "a", rule, append(subsets, "labels"),
			[]any{
				map[string]any{"version": "v1"},
				map[string]any{"version": "v2"},
				map[string]any{"version": "v2", "isthmus.dev/cluster": "c"},
			},
		},
		{
			"at the gateway it is the version alone",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{cluster: "c", version: "v2"}]}]}`, "a", rule, append(subsets, "trafficPolicy", "tls", "sni"),
			[]any{
				"outbound_.80_.v1_.api.example.com.isthmus.internal", "outbound_.80_.v2_.api.example.com.isthmus.internal",
				"outbound_.80_.v2_.api.example.com.isthmus.internal",
			},
		},
		{
			"the share of a cluster that is down goes to the others", byCluster + `clusters: b: state: "down"`, "a", routes, shares,
			[]any{[]any{share("in-a", 50), share("in-c", 20)}},
		},
		{
			"were all down they stay, so that calls fail instead of going elsewhere",
			selected + `services: api: {placement: {a: {}, b: {}, c: {}}, routes: [{to: [{cluster: "b", weight: 1}, {cluster: "c", weight: 2}]}]}
			clusters: {b: state: "down", c: state: "down"}`, "a", routes, shares,
			[]any{[]any{share("in-b", 1), share("in-c", 2)}},
		},
		{
			"a share of nothing is not what is left",
			selected + `services: api: {placement: {a: {}, b: {}, c: {}}, routes: [{to: [{cluster: "b", weight: 100}, {cluster: "c", weight: 0}]}]}
			clusters: b: state: "down"`, "a", routes, shares,
			[]any{[]any{share("in-b", 100), share("in-c", 0)}},
		},
		{
			"a draining cluster keeps its own share of its own calls", byCluster + `clusters: a: state: "draining"`, "a", routes, shares,
			[]any{[]any{share("in-a", 50), share("in-b", 30), share("in-c", 20)}},
		},
		{
			"a mirror gets its copies where it runs",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{version: "v1"}], mirror: {version: "v2", cluster: "c"}, mirrorPercentage: value: 5}]}`,
			"a", routes, http,
			[]any{map[string]any{
				"match": []any{port}, "route": only("api.example.com", "v1"),
				"mirror": to("api.example.com", "v2-in-c"), "mirrorPercentage": map[string]any{"value": int64(5)},
			}},
		},
		{
			"and none while its cluster is down",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{version: "v1"}], mirror: cluster: "c"}]}
			clusters: c: state: "down"`, "a", routes, append(http, "mirror"),
			[]any{nil},
		},
		{
			"a route that answers by itself goes nowhere",
			selected + `services: api: {placement: c: {}, routes: [{redirect: uri: "/"}]}`, "a", routes, http,
			[]any{map[string]any{"match": []any{port}, "redirect": map[string]any{"uri": "/"}}},
		},
		{
			"a route for one port is not one for the others",
			selected + `services: api: {ports: admin: {port: 81, protocol: "HTTP"}, placement: c: {}, routes: [{match: [{port: 81}], timeout: "1s"}]}`, "a", routes,
			append(http, "match"),
			[]any{
				[]any{port}, []any{map[string]any{"port": int64(81)}},
			},
		},
		{
			"TCP routes by what is known of a connection",
			versions + `services: api: {ports: http: protocol: "TCP", placement: c: {}
			tcpRoutes: [{match: [{sourceLabels: app: "app"}], to: [{version: "v1", weight: 90}, {version: "v2", weight: 10}]}]}`, "a", routes,
			[]string{"spec", "tcp"},
			[]any{
				map[string]any{
					"match": []any{map[string]any{"port": int64(80), "sourceLabels": map[string]any{"app": "app"}}},
					"route": []any{share("v1", 90), share("v2", 10)},
				},
				map[string]any{"match": []any{port}, "route": only("api.example.com", "")},
			},
		},
		{
			"TLS routes for the host they name, by its name",
			versions + twoHosts + `services: api: {ports: http: protocol: "TLS", placement: c: {}
			tlsRoutes: [{match: [{sniHosts: ["api.example.org"]}], to: [{version: "v1"}]}, {to: [{version: "v2"}]}]}`, "a", routes,
			[]string{"spec", "tls"},
			[]any{map[string]any{
				"match": []any{map[string]any{"port": int64(80), "sniHosts": []any{"api.example.com"}}},
				"route": only("api.example.com", "v2"),
			}},
		},
		{
			"and nothing behind them that their name never reaches",
			versions + twoHosts + `services: api: {ports: http: protocol: "TLS", placement: c: {}
			tlsRoutes: [{match: [{sniHosts: ["api.example.org"]}], to: [{version: "v1"}]}, {to: [{version: "v2"}]}]}`, "a", "VirtualService/api/api.example.org",
			[]string{"spec", "tls", "route"},
			[]any{only("api.example.org", "v1")},
		},
	})
}

func TestWhatOneOfSeveralHostsGets(t *testing.T) {
	const (
		second = "VirtualService/api/api.example.org"
		apart  = versions + twoHosts + `services: api: {placement: {a: {}, c: {}}
			routes: [{to: [{version: "v1"}]}]
			traffic: connectionPool: http: maxRetries: 1
			perHost: "api.example.org": {routes: [{to: [{version: "v2"}]}], traffic: connectionPool: http: maxRetries: 2}
		}
		`
	)
	route := []string{"spec", "http", "route"}
	retries := []string{"spec", "trafficPolicy", "connectionPool", "http", "maxRetries"}
	renders(t, []rendering{
		{"routes of its own", apart, "a", second, route, []any{only("api.example.org", "v2")}},
		{"which leave the others theirs", apart, "a", routes, route, []any{only("api.example.com", "v1")}},
		{"a policy of its own", apart, "a", "DestinationRule/api/api.example.org", retries, int64(2)},
		{"for its versions too", apart, "a", "DestinationRule/api/api.example.org", []string{"spec", "subsets", "trafficPolicy", "connectionPool", "http", "maxRetries"}, []any{int64(2), int64(2)}},
		{"which leaves the others theirs", apart, "a", rule, retries, int64(1)},
		{
			"completed by what calls across clusters need", apart, "a", "DestinationRule/api/api.example.org", order,
			[]any{"isthmus.dev/failover-3"},
		},
		{
			"without routes of its own it has the service's",
			versions + twoHosts + `services: api: {placement: c: {}, routes: [{to: [{version: "v1"}]}], perHost: "api.example.org": traffic: {}}`, "a", second, route,
			[]any{only("api.example.org", "v1")},
		},
		{
			"routes to clusters make subsets of all", selected + twoHosts + `services: api: {placement: {a: {}, c: {}}, perHost: "api.example.org": routes: [{to: [{cluster: "c"}]}]}`,
			"a", "DestinationRule/api/api.example.org", append(subsets, "name"),
			[]any{"in-c"},
		},
	})
}

// <cluster>.<host> reaches that cluster, and fails with it.
func TestWhatANameForOneClusterGets(t *testing.T) {
	const named = selected + "services: api: {clusterHosts: true, placement: {a: {}, b: {}, c: {}}}\n"
	const c = "ServiceEntry/api/c.api.example.com-remote"
	renders(t, []rendering{
		{"the cluster's gateways and no others", named, "a", c, []string{"spec", "endpoints", "address"}, []any{"192.0.2.4"}},
		{"which know the service by its own name", named, "a", "DestinationRule/api/c.api.example.com", sni, "outbound_.80_._.api.example.com.isthmus.internal"},
		{"the own cluster's pods and no gateways", named, "a", "ServiceEntry/api/a.api.example.com-local", selects, map[string]any{"app": "api"}},
		{"so no remote half", named, "a", "ServiceEntry/api/a.api.example.com-remote", nil, nil},
		{"and no local one for others", named, "a", "ServiceEntry/api/c.api.example.com-local", nil, nil},
		{"while the cluster is down nothing answers", named + `clusters: c: state: "down"`, "a", c, selects, map[string]any{"isthmus.dev/no-endpoint": "true"}},
		{"the plain name leads to all", named, "a", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.2", "192.0.2.4"}},
		{"routes are the plain name's", named + `services: api: routes: [{timeout: "1s"}]`, "a", "VirtualService/api/c.api.example.com", nil, nil},
		{"nothing of it is published", named, "c", "", nil, []string{gateway, exported}},
		{
			"a virtual address of its own where it needs one", named + `services: api: ports: http: protocol: "TCP"`, "a", c,
			[]string{"spec", "addresses"},
			[]any{"248.181.222.118"},
		},
	})
}
