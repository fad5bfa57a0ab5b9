package meshmodule_test

import "testing"

// A discovery group on one network (flat), and with a network for each cluster (networks).
const (
	flat     = selected + "clusters: {a: {discovery: \"g\", network: \"n\"}, b: {discovery: \"g\", network: \"n\"}}\n"
	networks = selected + "clusters: {a: discovery: \"g\", b: discovery: \"g\"}\n"
)

var (
	selects = []string{"spec", "workloadSelector", "labels"}
	order   = []string{"spec", "trafficPolicy", "loadBalancer", "localityLbSetting", "failoverPriority"}
	sni     = []string{"spec", "trafficPolicy", "tls", "sni"}
	tls     = []string{"spec", "trafficPolicy", "tls"}
	servers = []string{"spec", "servers", "hosts"}
)

const inB = "ServiceEntry/api/api.example.com-in-b"

// Istio discovers the pods of the whole group. Placement and state still apply.
func TestDiscoveryGroup(t *testing.T) {
	renders(t, []rendering{
		{
			"pods of another cluster are selected by its Istio cluster ID", flat + `services: api: placement: {a: {}, b: {}}`, "a", inB, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"own pods are selected by the cluster ID too, to exclude clusters without a placement",
			flat + `clusters: a: istioClusterID: "istio-a", services: api: placement: {a: {}, b: {}}`, "a", local, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "istio-a"},
		},
		{
			"only clusters with a placement have an entry", flat + `services: api: placement: b: {}`, "a", "", nil,
			[]string{rule, inB},
		},
		{
			"pods are ordered by Istio's own labels", flat + `services: api: placement: {a: {}, b: {}}`, "a", rule, order,
			[]any{"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/cluster"},
		},
		{
			"a cluster without a zone does not order by zone",
			selected + `clusters: {b: {discovery: "g", network: "n"}, c: {discovery: "g", network: "n"}}, services: app: placement: c: {}, services: api: placement: {b: {}, c: {}}`, "c", rule, order,
			[]any{"topology.kubernetes.io/region", "topology.istio.io/cluster"},
		},
		{
			"at the same distance discovered pods come before gateways",
			flat + `services: api: placement: {a: {}, b: {}, b2: {}, c: {}}`, "a", rule, order,
			[]any{
				"isthmus.dev/failover-3", "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "isthmus.dev/failover-1",
				"topology.istio.io/cluster",
			},
		},
		{
			"on one network pods are called directly", flat + `services: api: placement: {a: {}, b: {}}`, "a", rule, tls, nil,
		},
		{
			"on one network nothing is exported", flat + `services: api: placement: b: {}`, "b", "", nil, []string(nil),
		},
		{
			"the SNI for another network is the export name", networks + `services: api: placement: b: {}`, "a", rule, sni,
			"outbound_.80_._.api.example.com.isthmus.internal",
		},
		{
			"another network has the export", networks + `services: api: placement: b: {}`, "b", exported, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"the Gateway serves export names and Kubernetes names", networks + `services: api: placement: b: {}`, "b", gateway, servers,
			[]any{[]any{"*.isthmus.internal"}, []any{"*.local"}},
		},
		{
			"the Gateway serves Kubernetes names without exports", networks + `services: api: placement: b: {}`, "a", gateway, servers,
			[]any{[]any{"*.local"}},
		},
		{
			"no Gateway on one network", flat + `services: app: placement: c: {}, services: api: placement: b: {}`, "b", gateway, servers,
			[]any{[]any{"*.isthmus.internal"}},
		},
		{
			"a draining cluster accepts no calls from its group", flat + `clusters: b: state: "draining", services: api: placement: {a: {}, b: {}}`, "a", "", nil,
			[]string{local},
		},
		{
			"a draining cluster calls the group and itself",
			flat + `clusters: b: state: "draining", services: app: placement: b: {}, services: api: placement: {a: {}, b: {}}`, "b", "", nil,
			[]string{rule, "ServiceEntry/api/api.example.com-in-a", local},
		},
		{
			"a cluster that is down accepts no calls", flat + `clusters: b: state: "down", services: api: placement: {b: {}, c: {}}`, "a", "", nil,
			[]string{rule, remote},
		},
		{
			"without an active cluster the host stays in the mesh", flat + `clusters: {a: state: "down", b: state: "down"}, services: api: placement: b: {}`, "a", remote, selects,
			map[string]any{"isthmus.dev/no-endpoint": "true"},
		},
		{
			"a standby comes after the only active cluster, which its label names",
			flat + `services: api: placement: {a: standby: true, b: {}}`, "a", rule, order,
			[]any{"topology.istio.io/cluster=b"},
		},
		{
			"a standby comes after an active cluster outside the group", flat + `services: api: placement: {a: standby: true, b: standby: true, c: {}}`, "a", rule, order,
			[]any{"isthmus.dev/active=true", "isthmus.dev/failover-3"},
		},
		{
			"a clusterHost selects the pods of its cluster", flat + `services: api: {clusterHosts: true, placement: {a: {}, b: {}}}`, "a",
			"ServiceEntry/api/b.api.example.com-in-b", selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
	})
}

// primaryRemote has a remote cluster b with the primary a, on one network.
const primaryRemote = selected + "clusters: {a: network: \"n\", b: {network: \"n\", controlPlane: {kind: \"remote\", primary: \"a\"}}}\n"

// A primary configures the proxies of its remote clusters, so its bundle has the resources for all.
func TestPrimaryAndRemote(t *testing.T) {
	const (
		placed = "services: app: placement: {b: {}, c: {}}\nservices: api: placement: {a: {}, b: {}}\n"
		both   = primaryRemote + placed
	)
	renders(t, []rendering{
		{
			"the remote cluster has no resources", both, "b", "", nil, []string(nil),
		},
		{
			"the primary has entries and exports for both clusters, and one Gateway", both, "a", "", nil,
			[]string{
				rule, "DestinationRule/api/api.example.com.isthmus.internal", gateway, inB, local, exported, exported + "-in-b",
			},
		},
		{
			"the primary exports a service that runs in the remote only",
			primaryRemote + "services: app: placement: c: {}, services: api: placement: b: {}", "a", exported + "-in-b", selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"the primary has entries for a caller in the remote only",
			primaryRemote + `services: edge: {
				owner: "x", ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "edge", selector: app: "edge", serviceAccounts: ["x"]}
				placement: b: {}
				egress: deep: {}
			}
			services: deep: {
				owner: "x", ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "deep", selector: app: "deep", serviceAccounts: ["x"]}
				placement: c: {}
			}`, "a", "ServiceEntry/deep/deep.deep.global-remote",
			[]string{"spec", "exportTo"},
			[]any{"edge"},
		},
		{
			"each gateway prefers the pods of its own cluster", both, "a", "DestinationRule/api/api.example.com.isthmus.internal", order,
			[]any{"topology.istio.io/cluster"},
		},
		{
			"on one network the Gateway serves export names only", both, "a", gateway, servers, []any{[]any{"*.isthmus.internal"}},
		},
		{
			"on several networks it also serves Kubernetes names", selected + placed + `clusters: b: controlPlane: {kind: "remote", primary: "a"}`, "a", gateway, servers,
			[]any{[]any{"*.isthmus.internal"}, []any{"*.local"}},
		},
		{
			"other clusters call each cluster through its own gateway", both, "c", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.1", "192.0.2.2"},
		},
		{
			"other clusters do not call a draining cluster", both + `clusters: b: state: "draining"`, "c", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.1"},
		},
		{
			"callers of a shared control plane do not call a draining cluster", both + `clusters: b: state: "draining"`, "a", inB, nil, nil,
		},
		{
			"pods of a remote cluster that is down are not exported", both + `clusters: b: state: "down"`, "a", "", nil, []string{rule, gateway, local, exported},
		},
		{
			"a draining cluster accepts calls if no other does", both + `clusters: {a: state: "draining", b: state: "draining"}`, "a", inB, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"another gateway workload of the remote has its own Gateway", both + `clusters: b: gateway: namespace: "edge"`, "a",
			"Gateway/edge/isthmus-crosscluster-b", servers,
			[]any{[]any{"*.isthmus.internal"}},
		},
		{
			"exports are visible to both gateway namespaces", both + `clusters: b: gateway: namespace: "edge"`, "a", exported,
			[]string{"spec", "exportTo"},
			[]any{"edge", "istio-system"},
		},
	})
}

// An internal load balancer of one service replaces the gateway for callers on its network.
func TestPlacementAddress(t *testing.T) {
	const near = selected + "clusters: {a: network: \"n\", c: network: \"n\"}\n"
	renders(t, []rendering{
		{
			"the address is called on the service's ports", near + `services: api: placement: c: address: "198.51.100.7"`, "a", remote,
			[]string{"spec", "endpoints"},
			[]any{map[string]any{
				"address": "198.51.100.7",
				"labels":  map[string]any{"isthmus.dev/cluster": "c", "isthmus.dev/remote": "true", "security.istio.io/tlsMode": "istio"},
			}},
		},
		{
			"calls of an address have no SNI for a gateway", near + `services: api: placement: c: address: "198.51.100.7"`, "a", rule, tls, nil,
		},
		{
			"nothing is exported for callers of an address", near + `services: api: placement: c: address: "198.51.100.7"`, "c", "", nil, []string(nil),
		},
		{
			"callers on another network call the gateway", selected + `services: api: placement: c: address: "198.51.100.7"`, "a", remote,
			[]string{"spec", "endpoints", "address"},
			[]any{"192.0.2.4"},
		},
		{
			"a gateway beside an address needs the SNI", near + `services: api: placement: {b: {}, c: address: "198.51.100.7"}`, "a", rule, sni,
			"outbound_.80_._.api.example.com.isthmus.internal",
		},
		{
			"a host name as the address needs DNS", near + `services: api: placement: c: address: "api.internal.example.com"`, "a", remote,
			[]string{"spec", "resolution"},
			"DNS",
		},
		{
			"in a discovery group Istio selects the pods instead", flat + `services: api: placement: b: address: "198.51.100.7"`, "a", "", nil,
			[]string{rule, inB},
		},
	})
}

// Istio handles NAME.NAMESPACE.svc.cluster.local within a discovery group, so such hosts get no
// ServiceEntries.
func TestKubernetesName(t *testing.T) {
	const (
		name = "services: api: hosts: [\"api.api.svc.cluster.local\"]\n"
		its  = "DestinationRule/api/api.api.svc.cluster.local"
		stub = "Service/api/api"
		near = flat + name
	)
	renders(t, []rendering{
		{"no resources in the cluster that runs it", selected + name + `services: api: placement: a: {}`, "a", "", nil, []string(nil)},
		{"a stub Service in a cluster without pods, so that the name resolves", near + `services: api: placement: b: {}`, "a", "", nil, []string{its, stub}},
		{
			"the stub has the callers' ports", near + `services: api: {placement: b: {}, ports: http: targetPort: 8080}`, "a", stub,
			[]string{"spec"},
			map[string]any{"ports": []any{map[string]any{"name": "http", "port": int64(80), "protocol": "TCP", "appProtocol": "http"}}},
		},
		{"no stub in a cluster without callers", near + `services: api: placement: a: {}`, "b", "", nil, []string(nil)},
		{
			"the order of clusters", near + `services: api: placement: {a: {}, b: {}}`, "a", its, order,
			[]any{"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/cluster"},
		},
		{"no SNI, also on another network", networks + name + `services: api: placement: {a: {}, b: {}}`, "a", its, tls, nil},
		{
			"the routes of the service", near + `services: api: {placement: {a: {}, b: {}}, routes: [{timeout: "1s"}]}`, "a",
			"VirtualService/api/api.api.svc.cluster.local",
			[]string{"spec", "http", "timeout"},
			[]any{"1s"},
		},
		{
			"no clusterHosts", near + `services: api: {clusterHosts: true, placement: {a: {}, b: {}}}`, "a", "", nil, []string{its},
		},
		{
			"another host of the service has entries", selected + `services: api: {hosts: ["api.api.svc.cluster.local", "api.example.com"], placement: a: {}}`, "a", "", nil,
			[]string{local},
		},
	})
}
