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

// to returns a destination in a rendered route.
func to(host, subset string) map[string]any {
	d := map[string]any{"host": host, "port": map[string]any{"number": int64(80)}}
	if subset != "" {
		d["subset"] = subset
	}
	return d
}

// share returns a destination with a weight.
func share(subset string, weight int64) map[string]any {
	return map[string]any{"destination": to("api.example.com", subset), "weight": weight}
}

// only returns a list of one destination.
func only(host, subset string) []any {
	return []any{map[string]any{"destination": to(host, subset)}}
}

func TestRoutes(t *testing.T) {
	port := map[string]any{"port": int64(80)}
	shares := []string{"spec", "http", "route"}
	const byCluster = selected + `services: api: placement: {a: {}, b: {}, c: {}}
		services: api: routes: [{to: [{cluster: "a", weight: 50}, {cluster: "b", weight: 30}, {cluster: "c", weight: 20}]}]
		`
	renders(t, []rendering{
		{
			"calls that no route matches go to all versions",
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
			"no route after a route without a match",
			versions + `services: api: {placement: c: {}, routes: [{to: [{version: "v1"}]}]}`, "a", routes, http,
			[]any{map[string]any{"match": []any{port}, "route": only("api.example.com", "v1")}},
		},
		{
			"weights of clusters are weights of subsets", byCluster, "a", routes, shares,
			[]any{[]any{share("in-a", 50), share("in-b", 30), share("in-c", 20)}},
		},
		{
			"subsets select pods by the selector and gateways by a label", byCluster, "a", rule, append(subsets, "labels"),
			[]any{map[string]any{"app": "api"}, map[string]any{"isthmus.dev/cluster": "b"}, map[string]any{"isthmus.dev/cluster": "c"}},
		},
		{
			"subsets select discovered pods by the Istio cluster ID", byCluster + flat, "a", rule, append(subsets, "labels"),
			[]any{
				map[string]any{"app": "api", "topology.istio.io/cluster": "a"},
				map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
				map[string]any{"isthmus.dev/cluster": "c"},
			},
		},
		{
			"subsets select Kubernetes Services by a label",
			`services: api: {backend: service: "api", placement: {a: {}, b: {}}, routes: [{to: [{cluster: "a"}]}]}`, "a", rule, append(subsets, "labels"),
			[]any{map[string]any{"isthmus.dev/cluster": "a"}},
		},
		{
			"the SNI of a cluster without a version", byCluster, "a", rule, append(subsets, "trafficPolicy", "tls", "sni"),
			[]any{
				"outbound_.80_._.api.example.com.isthmus.internal", "outbound_.80_._.api.example.com.isthmus.internal",
				"outbound_.80_._.api.example.com.isthmus.internal",
			},
		},
		{
			"a version in a cluster has its own subset",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{cluster: "c", version: "v2"}]}]}`, "a", rule, append(subsets, "name"),
			[]any{"v1", "v2", "v2-in-c"},
		},
		{
			"the subset has the labels of the version and the cluster",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{cluster: "c", version: "v2"}]}]}`, "a", rule, append(subsets, "labels"),
			[]any{
				map[string]any{"version": "v1"},
				map[string]any{"version": "v2"},
				map[string]any{"version": "v2", "isthmus.dev/cluster": "c"},
			},
		},
		{
			"the SNI of a version in a cluster names the version",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{cluster: "c", version: "v2"}]}]}`, "a", rule, append(subsets, "trafficPolicy", "tls", "sni"),
			[]any{
				"outbound_.80_.v1_.api.example.com.isthmus.internal", "outbound_.80_.v2_.api.example.com.isthmus.internal",
				"outbound_.80_.v2_.api.example.com.isthmus.internal",
			},
		},
		{
			"other clusters get the share of a cluster that is down", byCluster + `clusters: b: state: "down"`, "a", routes, shares,
			[]any{[]any{share("in-a", 50), share("in-c", 20)}},
		},
		{
			"if all clusters are down, their shares stay and calls fail",
			selected + `services: api: {placement: {a: {}, b: {}, c: {}}, routes: [{to: [{cluster: "b", weight: 1}, {cluster: "c", weight: 2}]}]}
			clusters: {b: state: "down", c: state: "down"}`, "a", routes, shares,
			[]any{[]any{share("in-b", 1), share("in-c", 2)}},
		},
		{
			"a destination with weight 0 does not replace a cluster that is down",
			selected + `services: api: {placement: {a: {}, b: {}, c: {}}, routes: [{to: [{cluster: "b", weight: 100}, {cluster: "c", weight: 0}]}]}
			clusters: b: state: "down"`, "a", routes, shares,
			[]any{[]any{share("in-b", 100), share("in-c", 0)}},
		},
		{
			"a draining cluster keeps its share of its own calls", byCluster + `clusters: a: state: "draining"`, "a", routes, shares,
			[]any{[]any{share("in-a", 50), share("in-b", 30), share("in-c", 20)}},
		},
		{
			"a mirror with a version and a cluster",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{version: "v1"}], mirror: {version: "v2", cluster: "c"}, mirrorPercentage: value: 5}]}`,
			"a", routes, http,
			[]any{map[string]any{
				"match": []any{port}, "route": only("api.example.com", "v1"),
				"mirror": to("api.example.com", "v2-in-c"), "mirrorPercentage": map[string]any{"value": int64(5)},
			}},
		},
		{
			"no mirror to a cluster that is down",
			versions + `services: api: {placement: {a: {}, c: {}}, routes: [{to: [{version: "v1"}], mirror: cluster: "c"}]}
			clusters: c: state: "down"`, "a", routes, append(http, "mirror"),
			[]any{nil},
		},
		{
			"a redirect has no destinations",
			selected + `services: api: {placement: c: {}, routes: [{redirect: uri: "/"}]}`, "a", routes, http,
			[]any{map[string]any{"match": []any{port}, "redirect": map[string]any{"uri": "/"}}},
		},
		{
			"a route for one port does not apply to other ports",
			selected + `services: api: {ports: admin: {port: 81, protocol: "HTTP"}, placement: c: {}, routes: [{match: [{port: 81}], timeout: "1s"}]}`, "a", routes,
			append(http, "match"),
			[]any{
				[]any{port}, []any{map[string]any{"port": int64(81)}},
			},
		},
		{
			"TCP routes",
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
			"TLS routes without a match for this host are omitted",
			versions + twoHosts + `services: api: {ports: http: protocol: "TLS", placement: c: {}
			tlsRoutes: [{match: [{sniHosts: ["api.example.org"]}], to: [{version: "v1"}]}, {to: [{version: "v2"}]}]}`, "a", routes,
			[]string{"spec", "tls"},
			[]any{map[string]any{
				"match": []any{map[string]any{"port": int64(80), "sniHosts": []any{"api.example.com"}}},
				"route": only("api.example.com", "v2"),
			}},
		},
		{
			"no unreachable TLS route after a match for the host",
			versions + twoHosts + `services: api: {ports: http: protocol: "TLS", placement: c: {}
			tlsRoutes: [{match: [{sniHosts: ["api.example.org"]}], to: [{version: "v1"}]}, {to: [{version: "v2"}]}]}`, "a", "VirtualService/api/api.example.org",
			[]string{"spec", "tls", "route"},
			[]any{only("api.example.org", "v1")},
		},
	})
}

func TestPerHost(t *testing.T) {
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
		{"perHost routes", apart, "a", second, route, []any{only("api.example.org", "v2")}},
		{"perHost routes do not change other hosts", apart, "a", routes, route, []any{only("api.example.com", "v1")}},
		{"perHost traffic", apart, "a", "DestinationRule/api/api.example.org", retries, int64(2)},
		{"perHost traffic in subsets", apart, "a", "DestinationRule/api/api.example.org", []string{"spec", "subsets", "trafficPolicy", "connectionPool", "http", "maxRetries"}, []any{int64(2), int64(2)}},
		{"perHost traffic does not change other hosts", apart, "a", rule, retries, int64(1)},
		{
			"perHost traffic is completed for calls between clusters", apart, "a", "DestinationRule/api/api.example.org", order,
			[]any{"isthmus.dev/failover-3"},
		},
		{
			"without perHost routes the service's routes apply",
			versions + twoHosts + `services: api: {placement: c: {}, routes: [{to: [{version: "v1"}]}], perHost: "api.example.org": traffic: {}}`, "a", second, route,
			[]any{only("api.example.org", "v1")},
		},
		{
			"perHost routes to clusters make subsets", selected + twoHosts + `services: api: {placement: {a: {}, c: {}}, perHost: "api.example.org": routes: [{to: [{cluster: "c"}]}]}`,
			"a", "DestinationRule/api/api.example.org", append(subsets, "name"),
			[]any{"in-c"},
		},
	})
}

// <cluster>.<host> reaches one cluster only and fails with it.
func TestClusterHosts(t *testing.T) {
	const named = selected + "services: api: {clusterHosts: true, placement: {a: {}, b: {}, c: {}}}\n"
	const c = "ServiceEntry/api/c.api.example.com-remote"
	renders(t, []rendering{
		{"the gateways of the cluster only", named, "a", c, []string{"spec", "endpoints", "address"}, []any{"192.0.2.4"}},
		{"the SNI is that of the host", named, "a", "DestinationRule/api/c.api.example.com", sni, "outbound_.80_._.api.example.com.isthmus.internal"},
		{"the own cluster: its pods", named, "a", "ServiceEntry/api/a.api.example.com-local", selects, map[string]any{"app": "api"}},
		{"the own cluster: no remote entry", named, "a", "ServiceEntry/api/a.api.example.com-remote", nil, nil},
		{"another cluster: no local entry", named, "a", "ServiceEntry/api/c.api.example.com-local", nil, nil},
		{"no endpoints for a cluster that is down", named + `clusters: c: state: "down"`, "a", c, selects, map[string]any{"isthmus.dev/no-endpoint": "true"}},
		{"the host itself has all endpoints", named, "a", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.2", "192.0.2.4"}},
		{"routes apply to the host only", named + `services: api: routes: [{timeout: "1s"}]`, "a", "VirtualService/api/c.api.example.com", nil, nil},
		{"no export", named, "c", "", nil, []string{gateway, exported}},
		{
			"its own virtual address for TCP", named + `services: api: ports: http: protocol: "TCP"`, "a", c,
			[]string{"spec", "addresses"},
			[]any{"248.181.222.118"},
		},
	})
}
