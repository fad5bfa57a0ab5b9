package meshmodule_test

import "testing"

const policy = "AuthorizationPolicy/api/isthmus-api"

// allowed returns a rule of a policy.
func allowed(operation map[string]any, principals ...any) map[string]any {
	r := map[string]any{"from": []any{map[string]any{"source": map[string]any{"principals": principals}}}}
	if operation != nil {
		r["to"] = []any{map[string]any{"operation": operation}}
	}
	return r
}

func TestAuthorizationPolicy(t *testing.T) {
	const (
		guarded = selected + "services: api: {placement: a: {}, authorization: mode: \"enforce\"}\n"
		app     = "cluster.local/ns/app/sa/app"
	)
	rules := []string{"spec", "rules"}
	web := map[string]any{"ports": []any{"80"}}
	renders(t, []rendering{
		{"no policy by default", selected + `services: api: placement: a: {}`, "a", policy, nil, nil},
		{"no policy for a service with mode off", selected + `settings: authorization: mode: "enforce", services: api: {placement: a: {}, authorization: mode: "off"}`, "a", policy, nil, nil},
		{"declared callers are allowed on all ports", guarded, "a", policy, rules, []any{allowed(web, app)}},
		{"the policy selects the pods of the service", guarded, "a", policy, []string{"spec", "selector", "matchLabels"}, map[string]any{"app": "api"}},
		{"all other calls are denied", guarded, "a", policy, []string{"spec", "action"}, "ALLOW"},
		{"mode enforce has no dry-run annotation", guarded, "a", policy, []string{"metadata", "annotations"}, nil},
		{
			"mode audit is a dry run", selected + `services: api: {placement: a: {}, authorization: mode: "audit"}`, "a", policy,
			[]string{"metadata", "annotations"},
			map[string]any{"istio.io/dry-run": "true"},
		},
		{
			"the settings are the default", selected + `settings: authorization: mode: "enforce", services: api: placement: c: {}`, "c", policy, rules,
			[]any{allowed(web, app)},
		},
		{
			"without declared callers all calls are denied", selected + `services: app: authorization: mode: "enforce", services: api: placement: c: {}`, "a",
			"AuthorizationPolicy/app/isthmus-app",
			[]string{"spec"},
			map[string]any{"action": "ALLOW", "selector": map[string]any{"matchLabels": map[string]any{"app": "app"}}},
		},
		{
			"rules have the ports of the pods", guarded + `services: api: ports: http: targetPort: 8080`, "a", policy, rules,
			[]any{allowed(map[string]any{"ports": []any{"8080"}}, app)},
		},
		{
			"rules have the ports, methods and paths of egress",
			guarded + `services: api: ports: admin: {port: 81, protocol: "HTTP"}
			services: app: egress: api: {ports: ["admin"], methods: ["POST", "GET"], paths: ["/v1/*", "/health"]}`, "a", policy, rules,
			[]any{allowed(map[string]any{"ports": []any{"81"}, "methods": []any{"GET", "POST"}, "paths": []any{"/health", "/v1/*"}}, app)},
		},
		{
			"callers with different egress have different rules",
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
			"callers have the identities of all their clusters",
			guarded + `clusters: {a: trustDomain: "a.example.com", c: trustDomain: "c.example.com"}
			services: app: placement: c: backend: {namespace: "app2", serviceAccounts: ["y"]}`, "a", policy, rules,
			[]any{allowed(web, "a.example.com/ns/app/sa/app", "c.example.com/ns/app2/sa/y")},
		},
		{
			"callers in a draining cluster are allowed", guarded + `clusters: a: state: "draining"`, "a", policy, rules, []any{allowed(web, app)},
		},
		{
			"authorization.allow applies to all ports", guarded + `services: api: authorization: allow: ["b.example.com/ns/mon/sa/prom"]`, "a", policy, rules,
			[]any{allowed(web, app), allowed(nil, "b.example.com/ns/mon/sa/prom")},
		},
		{
			"public gateways are allowed by their identities",
			guarded + `clusters: {a: publicGateway: {}, c: {trustDomain: "c.example.com", publicGateway: {namespace: "edge", serviceAccount: "edge"}}}
			services: api: expose: {credentialName: "x", clusters: ["a", "c"]}`, "a", policy, rules,
			[]any{allowed(web, "c.example.com/ns/edge/sa/edge", app, "cluster.local/ns/istio-ingress/sa/istio-ingressgateway")},
		},
		{
			"public gateways are allowed on the exposed port only",
			guarded + `clusters: a: publicGateway: {}
			services: api: {ports: admin: {port: 81, protocol: "HTTP"}, expose: {port: "http", credentialName: "x"}}`, "a", policy, rules,
			[]any{allowed(map[string]any{"ports": []any{"80", "81"}}, app), allowed(web, "cluster.local/ns/istio-ingress/sa/istio-ingressgateway")},
		},
		{
			"a placement may have other pods and another namespace", selected + `services: api: {placement: c: backend: {namespace: "api2", selector: app: "old"}, authorization: mode: "enforce"}`, "c",
			"AuthorizationPolicy/api2/isthmus-api",
			[]string{"spec", "selector", "matchLabels"},
			map[string]any{"app": "old"},
		},
		{
			"a primary has a second policy for other pods in a remote cluster",
			primaryRemote + `services: api: {placement: {a: {}, b: backend: selector: app: "old"}, authorization: mode: "enforce"}`, "a",
			policy + "-in-b",
			[]string{"spec", "selector", "matchLabels"},
			map[string]any{"app": "old"},
		},
	})
}

func TestPublicGateway(t *testing.T) {
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
			"HTTPS with a certificate, for the hosts of the service", here, "a", "Gateway/istio-ingress/isthmus-public-api", spec,
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
			"the inventory overrides the settings of the gateway", there, "b", "Gateway/edge/isthmus-public-api", spec,
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
			"a route to the service", here, "a", public, spec,
			map[string]any{
				"exportTo": []any{"istio-ingress"}, "gateways": []any{"istio-ingress/isthmus-public-api"}, "hosts": []any{"api.example.com"},
				"http": []any{map[string]any{"route": only("api.example.com", "")}},
			},
		},
		{
			"the routes of callers in the mesh, without ports", here + `services: api: routes: [{match: [{uri: prefix: "/x"}], timeout: "1s"}]`, "a", public, http,
			[]any{
				map[string]any{
					"match": []any{map[string]any{"uri": map[string]any{"prefix": "/x"}}}, "timeout": "1s", "route": only("api.example.com", ""),
				},
				map[string]any{"route": only("api.example.com", "")},
			},
		},
		{
			"the service is visible to the gateway's namespace", here, "a", local, []string{"spec", "exportTo"}, []any{"app", "istio-ingress"},
		},
		{
			"it is visible in a cluster that does not run it", there, "b", remote, []string{"spec", "exportTo"}, []any{"edge"},
		},
		{
			"a call through a public gateway elsewhere needs an export", there, "c", exported, []string{"spec", "hosts"}, []any{"api.example.com.isthmus.internal"},
		},
		{
			"the export is visible to the cross-cluster gateway only", there + `services: api: placement: a: {}`, "a", exported, []string{"spec", "exportTo"}, []any{"istio-system"},
		},
		{
			"none in a cluster that expose.clusters does not list", there, "a", public, nil, nil,
		},
		{
			"TLS is passed through", passed, "a", "Gateway/istio-ingress/isthmus-public-api",
			[]string{"spec", "servers"},
			[]any{map[string]any{
				"hosts": []any{"api/api.example.com"},
				"port":  map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"},
				"tls":   map[string]any{"mode": "PASSTHROUGH"},
			}},
		},
		{
			"TLS is routed by SNI", passed, "a", public,
			[]string{"spec", "tls"},
			[]any{map[string]any{"match": []any{map[string]any{"sniHosts": []any{"api.example.com"}}}, "route": only("api.example.com", "")}},
		},
		{
			"the primary has the Gateway of a remote cluster",
			primaryRemote + `clusters: b: publicGateway: {}, services: api: {placement: {a: {}, b: {}}, expose: credentialName: "cert"}`, "a",
			"Gateway/istio-ingress/isthmus-public-api",
			[]string{"spec", "servers", "hosts"},
			[]any{[]any{"api/api.example.com"}},
		},
	})
}

func TestSidecar(t *testing.T) {
	const (
		sidecar = "Sidecar/app/isthmus-app"
		limited = selected + "services: app: sidecar: true\nservices: api: placement: c: {}\n"
	)
	hosts := []string{"spec", "egress", "hosts"}
	renders(t, []rendering{
		{"no Sidecar by default", selected + `services: api: placement: c: {}`, "a", sidecar, nil, nil},
		{"hosts of callees and settings.sidecarHosts", limited, "a", sidecar, hosts, []any{[]any{"api/api.example.com", "istio-system/*"}}},
		{"it selects the pods of the service", limited, "a", sidecar, selects, map[string]any{"app": "app"}},
		{"none in other clusters", limited, "c", sidecar, nil, nil},
		{"clusterHosts of callees", limited + `services: api: clusterHosts: true`, "a", sidecar, hosts, []any{[]any{"api/api.example.com", "api/c.api.example.com", "istio-system/*"}}},
		{
			"the namespace of the callee in this cluster", limited + `services: api: placement: a: backend: namespace: "api2"`, "a", sidecar, hosts,
			[]any{[]any{"api2/api.example.com", "istio-system/*"}},
		},
		{
			"externals",
			limited + `services: app: egress: ext: {}, externals: ext: {hosts: ["ext.example.com"], ports: https: {port: 443, protocol: "TLS"}}`, "a", sidecar, hosts,
			[]any{[]any{"api/api.example.com", "isthmus-externals/ext.example.com", "istio-system/*"}},
		},
		{
			"settings.sidecarHosts replaces the default", limited + `settings: sidecarHosts: ["mon/*"]`, "a", sidecar, hosts,
			[]any{[]any{"api/api.example.com", "mon/*"}},
		},
	})
}

// Calls of a local-only service stay in the caller's cluster, even if nothing answers there.
func TestLocalOnlyService(t *testing.T) {
	const kept = selected + "services: app: placement: c: {}\nservices: api: {spread: \"local-only\", placement: {a: {}, c: {}}}\n"
	renders(t, []rendering{
		{"the cluster's own pods only", kept, "a", "", nil, []string{local}},
		{"the same in the other cluster", kept, "c", "", nil, []string{local}},
		{"in any state of the cluster", kept + `clusters: a: state: "down"`, "a", "", nil, []string{local}},
		{
			"no pods of a discovery group", flat + `services: app: placement: b: {}, services: api: {spread: "local-only", placement: {a: {}, b: {}}}`, "a", "", nil,
			[]string{local},
		},
		{
			"a clusterHost of another cluster has no endpoints", kept + `services: api: clusterHosts: true`, "a", "ServiceEntry/api/c.api.example.com-remote", selects,
			map[string]any{"isthmus.dev/no-endpoint": "true"},
		},
	})
}

// Tiers restrict who may declare a call. They do not change its resources.
func TestTiersDoNotChangeAllowedCalls(t *testing.T) {
	const tiers = selected + "services: api: placement: c: {}\nclusters: {[string]: tier: *\"prod\" | string, c: tier: \"edge\"}\nsettings: tiers: prod: calls: [\"edge\"]\n"
	renders(t, []rendering{
		{"a call from one tier to another", tiers, "a", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.4"}},
	})
}
