package meshmodule_test

import "testing"

const policy = "AuthorizationPolicy/api/isthmus-api"

// allowed is a rule of a policy: who may do what.
func allowed(operation map[string]any, principals ...any) map[string]any {
	r := map[string]any{"from": []any{map[string]any{"source": map[string]any{"principals": principals}}}}
	if operation != nil {
		r["to"] = []any{map[string]any{"operation": operation}}
	}
	return r
}

func TestWhoMayCallGuardedPods(t *testing.T) {
	const (
		guarded = selected + "services: api: {placement: a: {}, authorization: mode: \"enforce\"}\n"
		app     = "cluster.local/ns/app/sa/app"
	)
	rules := []string{"spec", "rules"}
	web := map[string]any{"ports": []any{"80"}}
	renders(t, []rendering{
		{"by default nobody is checked", selected + `services: api: placement: a: {}`, "a", policy, nil, nil},
		{"or where all are, but for one", selected + `settings: authorization: mode: "enforce", services: api: {placement: a: {}, authorization: mode: "off"}`, "a", policy, nil, nil},
		{"those who declare it, on the ports there are", guarded, "a", policy, rules, []any{allowed(web, app)}},
		{"the service's pods alone are guarded", guarded, "a", policy, []string{"spec", "selector", "matchLabels"}, map[string]any{"app": "api"}},
		{"and all others refused", guarded, "a", policy, []string{"spec", "action"}, "ALLOW"},
		{"enforced for real", guarded, "a", policy, []string{"metadata", "annotations"}, nil},
		{
			"or only logged", selected + `services: api: {placement: a: {}, authorization: mode: "audit"}`, "a", policy,
			[]string{"metadata", "annotations"},
			map[string]any{"istio.io/dry-run": "true"},
		},
		{
			"all services, where the mesh says so", selected + `settings: authorization: mode: "enforce", services: api: placement: c: {}`, "c", policy, rules,
			[]any{allowed(web, app)},
		},
		{
			"nobody, where nobody declares it", selected + `services: app: authorization: mode: "enforce", services: api: placement: c: {}`, "a",
			"AuthorizationPolicy/app/isthmus-app",
			[]string{"spec"},
			map[string]any{"action": "ALLOW", "selector": map[string]any{"matchLabels": map[string]any{"app": "app"}}},
		},
		{
			"at the ports of the pods", guarded + `services: api: ports: http: targetPort: 8080`, "a", policy, rules,
			[]any{allowed(map[string]any{"ports": []any{"8080"}}, app)},
		},
		{
			"for what they need and no more",
			guarded + `services: api: ports: admin: {port: 81, protocol: "HTTP"}
			services: app: egress: api: {ports: ["admin"], methods: ["POST", "GET"], paths: ["/v1/*", "/health"]}`, "a", policy, rules,
			[]any{allowed(map[string]any{"ports": []any{"81"}, "methods": []any{"GET", "POST"}, "paths": []any{"/health", "/v1/*"}}, app)},
		},
		{
			"each caller for its own needs",
			guarded + `services: app: egress: api: methods: ["GET"]
			services: job: {
				owner: "x", ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "job", selector: app: "job", serviceAccounts: ["j1", "j2"]}
				placement: a: {}
				egress: api: {}
			}`, "a", policy, rules,
			[]any{
				allowed(map[string]any{"ports": []any{"80"}, "methods": []any{"GET"}}, app),
				allowed(web, "cluster.local/ns/job/sa/j1", "cluster.local/ns/job/sa/j2"),
			},
		},
		{
			"with the identities of every cluster they run in",
			guarded + `clusters: {a: trustDomain: "a.example.com", c: trustDomain: "c.example.com"}
			services: app: placement: c: backend: {namespace: "app2", serviceAccounts: ["y"]}`, "a", policy, rules,
			[]any{allowed(web, "a.example.com/ns/app/sa/app", "c.example.com/ns/app2/sa/y")},
		},
		{
			"also while their cluster drains", guarded + `clusters: a: state: "draining"`, "a", policy, rules, []any{allowed(web, app)},
		},
		{
			"and whom the owner lets in besides, on every port", guarded + `services: api: authorization: allow: ["b.example.com/ns/mon/sa/prom"]`, "a", policy, rules,
			[]any{allowed(web, app), allowed(nil, "b.example.com/ns/mon/sa/prom")},
		},
		{
			"the public gateways that it is on, by the identity of each",
			guarded + `clusters: {a: publicGateway: {}, c: {trustDomain: "c.example.com", publicGateway: {namespace: "edge", serviceAccount: "edge"}}}
			services: api: expose: {credentialName: "x", clusters: ["a", "c"]}`, "a", policy, rules,
			[]any{allowed(web, "c.example.com/ns/edge/sa/edge", app, "cluster.local/ns/istio-ingress/sa/istio-ingressgateway")},
		},
		{
			"which need one port only",
			guarded + `clusters: a: publicGateway: {}
			services: api: {ports: admin: {port: 81, protocol: "HTTP"}, expose: {port: "http", credentialName: "x"}}`, "a", policy, rules,
			[]any{allowed(map[string]any{"ports": []any{"80", "81"}}, app), allowed(web, "cluster.local/ns/istio-ingress/sa/istio-ingressgateway")},
		},
		{
			"in each cluster's bundle for the pods there", selected + `services: api: {placement: c: backend: {namespace: "api2", selector: app: "old"}, authorization: mode: "enforce"}`, "c",
			"AuthorizationPolicy/api2/isthmus-api",
			[]string{"spec", "selector", "matchLabels"},
			map[string]any{"app": "old"},
		},
		{
			"where a control plane serves clusters with other pods, for those as well",
			primaryRemote + `services: api: {placement: {a: {}, b: backend: selector: app: "old"}, authorization: mode: "enforce"}`, "a",
			policy + "-in-b",
			[]string{"spec", "selector", "matchLabels"},
			map[string]any{"app": "old"},
		},
	})
}

func TestWhatAPublicGatewayGets(t *testing.T) {
	const (
		public = "VirtualService/api/api.example.com-public"
		here   = selected + "clusters: a: publicGateway: {}\nservices: api: {placement: *{a: {}} | {...}, expose: credentialName: *\"cert\" | string}\n"
		there  = selected + "clusters: b: publicGateway: {namespace: \"edge\", selector: gw: \"edge\", port: 8443}\n" +
			"services: api: {placement: c: {}, expose: {credentialName: \"cert\", clusters: [\"b\"]}}\n"
		passed = selected + "clusters: a: publicGateway: {}\nservices: api: {ports: http: protocol: \"TLS\", placement: a: {}, expose: {}}\n"
	)
	spec := []string{"spec"}
	renders(t, []rendering{
		{
			"HTTP with a certificate, under the service's names", here, "a", "Gateway/istio-ingress/isthmus-public-api", spec,
			map[string]any{
				"selector": map[string]any{"istio": "ingressgateway"},
				"servers": []any{map[string]any{
					"hosts": []any{"api/api.example.com"},
					"port":  map[string]any{"number": int64(443), "name": "https", "protocol": "HTTPS"},
					"tls":   map[string]any{"mode": "SIMPLE", "credentialName": "cert"},
				}},
			},
		},
		{
			"as the cluster has it", there, "b", "Gateway/edge/isthmus-public-api", spec,
			map[string]any{
				"selector": map[string]any{"gw": "edge"},
				"servers": []any{map[string]any{
					"hosts": []any{"api/api.example.com"},
					"port":  map[string]any{"number": int64(8443), "name": "https", "protocol": "HTTPS"},
					"tls":   map[string]any{"mode": "SIMPLE", "credentialName": "cert"},
				}},
			},
		},
		{
			"the way to the service", here, "a", public, spec,
			map[string]any{
				"exportTo": []any{"istio-ingress"}, "gateways": []any{"istio-ingress/isthmus-public-api"}, "hosts": []any{"api.example.com"},
				"http": []any{map[string]any{"route": only("api.example.com", "")}},
			},
		},
		{
			"the routes there are inside, of whatever port", here + `services: api: routes: [{match: [{uri: prefix: "/x"}], timeout: "1s"}]`, "a", public, http,
			[]any{
				map[string]any{
					"match": []any{map[string]any{"uri": map[string]any{"prefix": "/x"}}}, "timeout": "1s", "route": only("api.example.com", ""),
				},
				map[string]any{"route": only("api.example.com", "")},
			},
		},
		{
			"sight of the service, as any caller", here, "a", local, []string{"spec", "exportTo"}, []any{"app", "istio-ingress"},
		},
		{
			"sight of it where it does not run", there, "b", remote, []string{"spec", "exportTo"}, []any{"edge"},
		},
		{
			"and finds it published there", there, "c", exported, []string{"spec", "hosts"}, []any{"api.example.com.isthmus.internal"},
		},
		{
			"also where no service calls it from elsewhere", there + `services: api: placement: a: {}`, "a", exported, []string{"spec", "exportTo"}, []any{"istio-system"},
		},
		{
			"nothing in a cluster that is not named", there, "a", public, nil, nil,
		},
		{
			"TLS as it comes", passed, "a", "Gateway/istio-ingress/isthmus-public-api",
			[]string{"spec", "servers"},
			[]any{map[string]any{
				"hosts": []any{"api/api.example.com"},
				"port":  map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"},
				"tls":   map[string]any{"mode": "PASSTHROUGH"},
			}},
		},
		{
			"told by its name", passed, "a", public,
			[]string{"spec", "tls"},
			[]any{map[string]any{"match": []any{map[string]any{"sniHosts": []any{"api.example.com"}}}, "route": only("api.example.com", "")}},
		},
		{
			"a remote cluster's from its primary's bundle",
			primaryRemote + `clusters: b: publicGateway: {}, services: api: {placement: {a: {}, b: {}}, expose: credentialName: "cert"}`, "a",
			"Gateway/istio-ingress/isthmus-public-api",
			[]string{"spec", "servers", "hosts"},
			[]any{[]any{"api/api.example.com"}},
		},
	})
}

func TestWhatProxiesAreLimitedTo(t *testing.T) {
	const (
		sidecar = "Sidecar/app/isthmus-app"
		limited = selected + "services: app: sidecar: true\nservices: api: placement: c: {}\n"
	)
	hosts := []string{"spec", "egress", "hosts"}
	renders(t, []rendering{
		{"nothing, unless asked for", selected + `services: api: placement: c: {}`, "a", sidecar, nil, nil},
		{"what the service calls, and what all see", limited, "a", sidecar, hosts, []any{[]any{"api/api.example.com", "istio-system/*"}}},
		{"for its pods", limited, "a", sidecar, selects, map[string]any{"app": "app"}},
		{"where they run", limited, "c", sidecar, nil, nil},
		{"all names of it", limited + `services: api: clusterHosts: true`, "a", sidecar, hosts, []any{[]any{"api/api.example.com", "api/c.api.example.com", "istio-system/*"}}},
		{
			"where it is at home here", limited + `services: api: placement: a: backend: namespace: "api2"`, "a", sidecar, hosts,
			[]any{[]any{"api2/api.example.com", "istio-system/*"}},
		},
		{
			"externals in the namespace of externals",
			limited + `services: app: egress: ext: {}, externals: ext: {hosts: ["ext.example.com"], ports: https: {port: 443, protocol: "TLS"}}`, "a", sidecar, hosts,
			[]any{[]any{"api/api.example.com", "isthmus-externals/ext.example.com", "istio-system/*"}},
		},
		{
			"and whatever the mesh gives to all", limited + `settings: sidecarHosts: ["mon/*"]`, "a", sidecar, hosts,
			[]any{[]any{"api/api.example.com", "mon/*"}},
		},
	})
}

// Calls of a service that is local-only stay in the cluster of the caller, even while nothing answers there.
func TestWhatACallerGetsOfAServiceThatNeverLeavesItsCluster(t *testing.T) {
	const kept = selected + "services: app: placement: c: {}\nservices: api: {spread: \"local-only\", placement: {a: {}, c: {}}}\n"
	renders(t, []rendering{
		{"its own pods only", kept, "a", "", nil, []string{local}},
		{"in every cluster", kept, "c", "", nil, []string{local}},
		{"whatever the cluster's state", kept + `clusters: a: state: "down"`, "a", "", nil, []string{local}},
		{
			"nor those of a discovery group", flat + `services: app: placement: b: {}, services: api: {spread: "local-only", placement: {a: {}, b: {}}}`, "a", "", nil,
			[]string{local},
		},
		{
			"of which the name of another cluster has none", kept + `services: api: clusterHosts: true`, "a", "ServiceEntry/api/c.api.example.com-remote", selects,
			map[string]any{"isthmus.dev/no-endpoint": "true"},
		},
	})
}

// Tiers say who may declare a call; one that is allowed is like any other.
func TestTiersChangeNothingOfWhatIsAllowed(t *testing.T) {
	const tiers = selected + "services: api: placement: c: {}\nclusters: {[string]: tier: *\"prod\" | string, c: tier: \"edge\"}\nsettings: tiers: prod: calls: [\"edge\"]\n"
	renders(t, []rendering{
		{"a call from one tier to another", tiers, "a", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.4"}},
	})
}
