package meshmodule_test

import "testing"

// The members of one discovery group on one network, and on a network each.
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

// Istio finds the pods of a whole group: nothing of ours leads there, and placement and state hold all the same.
func TestWhatClustersOfADiscoveryGroupGet(t *testing.T) {
	renders(t, []rendering{
		{
			"pods of another cluster are selected by Istio's name of it", flat + `services: api: placement: {a: {}, b: {}}`, "a", inB, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"own pods as well, or those of clusters where nothing is placed would count",
			flat + `clusters: a: istioClusterID: "istio-a", services: api: placement: {a: {}, b: {}}`, "a", local, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "istio-a"},
		},
		{
			"no pods but those of a placement", flat + `services: api: placement: b: {}`, "a", "", nil,
			[]string{rule, inB},
		},
		{
			"near pods come first, by what Istio knows of them", flat + `services: api: placement: {a: {}, b: {}}`, "a", rule, order,
			[]any{"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/cluster"},
		},
		{
			"where nodes are in no single zone, it does not count",
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
			"on one network pods are called as they are", flat + `services: api: placement: {a: {}, b: {}}`, "a", rule, tls, nil,
		},
		{
			"on one network nothing is published to the group", flat + `services: api: placement: b: {}`, "b", "", nil, []string(nil),
		},
		{
			"beyond a network a gateway is asked for the reserved name", networks + `services: api: placement: b: {}`, "a", rule, sni,
			"outbound_.80_._.api.example.com.isthmus.internal",
		},
		{
			"where that name is published", networks + `services: api: placement: b: {}`, "b", exported, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"beside the names of Kubernetes, which Istio takes across networks itself", networks + `services: api: placement: b: {}`, "b", gateway, servers,
			[]any{[]any{"*.isthmus.internal"}, []any{"*.local"}},
		},
		{
			"also where nothing is published", networks + `services: api: placement: b: {}`, "a", gateway, servers,
			[]any{[]any{"*.local"}},
		},
		{
			"and not on one network", flat + `services: app: placement: c: {}, services: api: placement: b: {}`, "b", gateway, servers,
			[]any{[]any{"*.isthmus.internal"}},
		},
		{
			"a draining cluster gets no calls from its group", flat + `clusters: b: state: "draining", services: api: placement: {a: {}, b: {}}`, "a", "", nil,
			[]string{local},
		},
		{
			"and goes on calling it, and itself",
			flat + `clusters: b: state: "draining", services: app: placement: b: {}, services: api: placement: {a: {}, b: {}}`, "b", "", nil,
			[]string{rule, "ServiceEntry/api/api.example.com-in-a", local},
		},
		{
			"a cluster that is down is not counted on", flat + `clusters: b: state: "down", services: api: placement: {b: {}, c: {}}`, "a", "", nil,
			[]string{rule, remote},
		},
		{
			"with all of them down the name stays one of the mesh", flat + `clusters: {a: state: "down", b: state: "down"}, services: api: placement: b: {}`, "a", remote, selects,
			map[string]any{"isthmus.dev/no-endpoint": "true"},
		},
		{
			"a standby comes after the only active cluster, which is the word for it",
			flat + `services: api: placement: {a: standby: true, b: {}}`, "a", rule, order,
			[]any{"topology.istio.io/cluster=b"},
		},
		{
			"and after one that is not of the group", flat + `services: api: placement: {a: standby: true, b: standby: true, c: {}}`, "a", rule, order,
			[]any{"isthmus.dev/active=true", "isthmus.dev/failover-3"},
		},
		{
			"a name for one cluster leads to the pods there", flat + `services: api: {clusterHosts: true, placement: {a: {}, b: {}}}`, "a",
			"ServiceEntry/api/b.api.example.com-in-b", selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
	})
}

// primaryRemote is a remote cluster b, with a for its primary, on one network.
const primaryRemote = selected + "clusters: {a: network: \"n\", b: {network: \"n\", controlPlane: {kind: \"remote\", primary: \"a\"}}}\n"

// The control plane of a primary configures the proxies of its remotes, so its bundle serves them all.
func TestWhatAPrimaryGetsForItsRemotes(t *testing.T) {
	const (
		placed = "services: app: placement: {b: {}, c: {}}\nservices: api: placement: {a: {}, b: {}}\n"
		both   = primaryRemote + placed
	)
	renders(t, []rendering{
		{
			"the remote's own bundle is empty", both, "b", "", nil, []string(nil),
		},
		{
			"the primary's has the pods of both to call and to publish, and one Gateway", both, "a", "", nil,
			[]string{
				rule, "DestinationRule/api/api.example.com.isthmus.internal", gateway, inB, local, exported, exported + "-in-b",
			},
		},
		{
			"also of one that runs in the remote only",
			primaryRemote + "services: app: placement: c: {}, services: api: placement: b: {}", "a", exported + "-in-b", selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"also for a caller that runs in the remote only",
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
			"each gateway prefers the pods beside it", both, "a", "DestinationRule/api/api.example.com.isthmus.internal", order,
			[]any{"topology.istio.io/cluster"},
		},
		{
			"on one network only reserved names come in", both, "a", gateway, servers, []any{[]any{"*.isthmus.internal"}},
		},
		{
			"on several those of Kubernetes as well", selected + placed + `clusters: b: controlPlane: {kind: "remote", primary: "a"}`, "a", gateway, servers,
			[]any{[]any{"*.isthmus.internal"}, []any{"*.local"}},
		},
		{
			"others call each through its own gateway", both, "c", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.1", "192.0.2.2"},
		},
		{
			"but none that is draining", both + `clusters: b: state: "draining"`, "c", remote, []string{"spec", "endpoints", "address"}, []any{"192.0.2.1"},
		},
		{
			"callers of one configuration leave out what is draining", both + `clusters: b: state: "draining"`, "a", inB, nil, nil,
		},
		{
			"and publish no pods of a remote that is down", both + `clusters: b: state: "down"`, "a", "", nil, []string{rule, gateway, local, exported},
		},
		{
			"unless there is nothing else", both + `clusters: {a: state: "draining", b: state: "draining"}`, "a", inB, selects,
			map[string]any{"app": "api", "topology.istio.io/cluster": "b"},
		},
		{
			"another workload as the remote's gateway has a Gateway of its own", both + `clusters: b: gateway: namespace: "edge"`, "a",
			"Gateway/edge/isthmus-crosscluster-b", servers,
			[]any{[]any{"*.isthmus.internal"}},
		},
		{
			"which sees what is published too", both + `clusters: b: gateway: namespace: "edge"`, "a", exported,
			[]string{"spec", "exportTo"},
			[]any{"edge", "istio-system"},
		},
	})
}

// An internal load balancer of one service, on the network of its callers, in the place of the gateway.
func TestWhatACallerGetsOfAnAddressOfItsOwn(t *testing.T) {
	const near = selected + "clusters: {a: network: \"n\", c: network: \"n\"}\n"
	renders(t, []rendering{
		{
			"it is called with the service's ports, and nothing is asked for by name", near + `services: api: placement: c: address: "198.51.100.7"`, "a", remote,
			[]string{"spec", "endpoints"},
			[]any{map[string]any{
				"address": "198.51.100.7",
				"labels":  map[string]any{"isthmus.dev/cluster": "c", "isthmus.dev/remote": "true", "security.istio.io/tlsMode": "istio"},
			}},
		},
		{
			"so no name for a gateway either", near + `services: api: placement: c: address: "198.51.100.7"`, "a", rule, tls, nil,
		},
		{
			"and nothing is published for a gateway", near + `services: api: placement: c: address: "198.51.100.7"`, "c", "", nil, []string(nil),
		},
		{
			"from another network the gateway is called", selected + `services: api: placement: c: address: "198.51.100.7"`, "a", remote,
			[]string{"spec", "endpoints", "address"},
			[]any{"192.0.2.4"},
		},
		{
			"which then is asked by name, whatever other clusters have", near + `services: api: placement: {b: {}, c: address: "198.51.100.7"}`, "a", rule, sni,
			"outbound_.80_._.api.example.com.isthmus.internal",
		},
		{
			"an address that is a name is looked up", near + `services: api: placement: c: address: "api.internal.example.com"`, "a", remote,
			[]string{"spec", "resolution"},
			"DNS",
		},
		{
			"in a discovery group Istio finds the pods all the same", flat + `services: api: placement: b: address: "198.51.100.7"`, "a", "", nil,
			[]string{rule, inB},
		},
	})
}

// NAME.NAMESPACE.svc.cluster.local is Istio's own within a discovery group: nothing of ours may stand for it.
func TestWhatTheNameOfAKubernetesServiceGets(t *testing.T) {
	const (
		name = "services: api: hosts: [\"api.api.svc.cluster.local\"]\n"
		its  = "DestinationRule/api/api.api.svc.cluster.local"
		stub = "Service/api/api"
		near = flat + name
	)
	renders(t, []rendering{
		{"at home there is nothing to add", selected + name + `services: api: placement: a: {}`, "a", "", nil, []string(nil)},
		{"where no pods run a Service without any, so that it resolves", near + `services: api: placement: b: {}`, "a", "", nil, []string{its, stub}},
		{
			"with the ports that callers use", near + `services: api: {placement: b: {}, ports: http: targetPort: 8080}`, "a", stub,
			[]string{"spec"},
			map[string]any{"ports": []any{map[string]any{"name": "http", "port": int64(80), "protocol": "TCP", "appProtocol": "http"}}},
		},
		{"which is not made where nobody calls", near + `services: api: placement: a: {}`, "b", "", nil, []string(nil)},
		{
			"the order of clusters, as for any name", near + `services: api: placement: {a: {}, b: {}}`, "a", its, order,
			[]any{"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/cluster"},
		},
		{"no reserved name to ask for, also beyond a network", networks + name + `services: api: placement: {a: {}, b: {}}`, "a", its, tls, nil},
		{
			"the service's routes", near + `services: api: {placement: {a: {}, b: {}}, routes: [{timeout: "1s"}]}`, "a",
			"VirtualService/api/api.api.svc.cluster.local",
			[]string{"spec", "http", "timeout"},
			[]any{"1s"},
		},
		{
			"no name for one cluster", near + `services: api: {clusterHosts: true, placement: {a: {}, b: {}}}`, "a", "", nil, []string{its},
		},
		{
			"beside a name of ours, which has entries", selected + `services: api: {hosts: ["api.api.svc.cluster.local", "api.example.com"], placement: a: {}}`, "a", "", nil,
			[]string{local},
		},
	})
}
