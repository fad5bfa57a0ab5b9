package meshmodule_test

// group puts both clusters of the example into one discovery group.
const group = `
clusters: {east: discovery: "g", west: discovery: "g"}
`

// clusterMistakes are for checks_clusters.cue: the inventory, and what relations do not support.
var clusterMistakes = []mistake{
	{
		"a remote cluster without its primary", `clusters: nord: {region: "r", controlPlane: kind: "remote"}`,
		"cluster nord is remote: controlPlane.primary must name the cluster whose control plane configures it", "clusters.nord.controlPlane", 3,
	},
	{
		"a primary that is not in the inventory", `clusters: nord: {region: "r", controlPlane: {kind: "remote", primary: "sued"}}`,
		"cluster nord is remote to unknown cluster sued", "clusters.nord.controlPlane.primary", 3,
	},
	{
		"a primary that is remote itself", `clusters: nord: {region: "r", controlPlane: {kind: "remote", primary: "east"}}
clusters: sued: {region: "r", controlPlane: {kind: "remote", primary: "nord"}}`,
		"cluster sued is remote to cluster nord, which is remote itself", "clusters.sued.controlPlane.primary", 4,
	},
	{
		"a remote cluster in a discovery group without its primary", `clusters: nord: {region: "r", controlPlane: {kind: "remote", primary: "east"}
discovery: "g"}`,
		"cluster nord is in discovery group g, but its primary east is not: a remote cluster is in the group of its primary", "clusters.nord.discovery", 4,
	},
	{
		"a remote cluster with another trust domain than its primary", `clusters: nord: {region: "r", controlPlane: {kind: "remote", primary: "east"}
trustDomain: "nord.example.com"}`,
		"cluster nord is remote to east, whose control plane signs its identities, so both must have the same trustDomain", "clusters.nord.trustDomain", 4,
	},
	{
		"a primary with a primary", `clusters: nord: {region: "r", controlPlane: primary: "east"}`,
		"cluster nord is a primary, so it cannot have controlPlane.primary", "clusters.nord.controlPlane.primary", 3,
	},
	{
		"two clusters with one istioClusterID", `clusters: nord: {region: "r", discovery: "g"}
clusters: sued: {region: "r", discovery: "g", istioClusterID: "nord"}`,
		"clusters nord and sued of one discovery group have the same istioClusterID nord", "clusters.sued.istioClusterID", 4,
	},
	{
		"a Kubernetes Service in a discovery group", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", service: "x", serviceAccounts: ["x"]}
placement: east: {}}` + group,
		"service x runs in a discovery group (east) behind a Kubernetes Service: control planes find pods of other clusters by backend.selector only",
		"services.x.backend.service", 4,
	},
	{
		"a Kubernetes Service in one cluster of a discovery group", `services: x: {owner: "x", ports: http: {port: 80, protocol: "HTTP"}
backend: {namespace: "x", selector: app: "x", serviceAccounts: ["x"]}
placement: {
	east: {}
	west: backend: service: "x"
}}` + group,
		"service x runs in a discovery group (east, west) behind a Kubernetes Service: control planes find pods of other clusters by backend.selector only",
		"services.x.placement.west.backend.service", 7,
	},
	{
		"two namespaces in a discovery group", `services: x: {` + good + `placement: {east: {}, west: backend: namespace: "y"}}` + group,
		"service x has different namespaces in clusters of one discovery group (east, west): a host can select pods of one namespace only",
		"services.x.placement.west.backend.namespace", 8,
	},
	{
		"weights for discovered pods", `services: x: {` + good + `placement: {east: weight: 70, nord: weight: 30}}
services: y: {` + good + `placement: west: {}
egress: x: {}}
clusters: nord: {region: "r", gateways: [{address: "192.0.2.30"}]}` + group,
		"service x spreads by weight, but its callers in west discover the pods in east, and Istio cannot weight discovered pods." +
			" Use routes with destinations by cluster for exact shares",
		"services.x.placement.east.weight", 8,
	},
	{
		"a standby in a discovery group beside several active clusters", `services: x: {` + good + `placement: {east: {}, west: standby: true, nord: {}}}
clusters: nord: region: "r"` + group,
		"service x has a standby in a discovery group (east, west) and several active clusters (east, nord): Istio cannot rank discovered pods," +
			" so a standby in a group supports a single active cluster only",
		"services.x.placement.west.standby", 8,
	},
	{
		"a standby that is the first cluster of its discovery group", `services: x: {` + good + `placement: {
	east: standby: true
	west: {}
	nord: {}
}}
clusters: nord: region: "r"` + group,
		"service x has a standby in a discovery group (east, west) and several active clusters (west, nord): Istio cannot rank discovered pods," +
			" so a standby in a group supports a single active cluster only",
		"services.x.placement.east.standby", 9,
	},
	{
		"a Kubernetes name of a local-only service", `services: x: {` + good + `hosts: ["x.x.svc.cluster.local"], spread: "local-only", placement: {east: {}, west: {}}}
clusters: {east: discovery: "g", west: discovery: "g"}`,
		"service x is local-only and has the Kubernetes name x.x.svc.cluster.local, which Istio routes to pods of all clusters of a discovery group: give it another host",
		"services.x.hosts.x.x.svc.cluster.local", 8,
	},
	{
		"a standby and a gateway with a host name", `services: x: {` + good + `placement: {east: standby: true, nord: {}}}
clusters: nord: {region: "r", gateways: [{address: "nord.example.com"}]}
services: y: {owner: "y", ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "y", selector: app: "y", serviceAccounts: ["y"]}, placement: east: {}, egress: x: {}}`,
		"service x is on standby in cluster east, but cluster nord, which is not, has a gateway with a host name: Istio orders pods before host names." +
			" Give the gateway an IP address, or remove the standby",
		"services.x.placement.east.standby", 8,
	},
	{
		"several networks of a discovery group and a gateway with a host name", `services: x: {` + good + `placement: {
	east: {}
	west: {}
	nord: {}
}}
clusters: nord: {region: "r", gateways: [{address: "nord.example.com"}]}` + group,
		"service x runs or is called on several networks of one discovery group (east, west) and in cluster nord, whose gateway has a host name:" +
			" Istio cannot route between networks with this combination. Give the gateway an IP address",
		"services.x.placement.nord", 11,
	},
	{
		"a Kubernetes name of another namespace", `services: x: {` + good + `hosts: ["x.y.svc.cluster.local"]}`,
		"host x.y.svc.cluster.local is a Kubernetes name in namespace y, but service x has pods in another namespace",
		"services.x.hosts.x.y.svc.cluster.local", 8,
	},
	{
		"a Kubernetes name in clusters that do not discover each other", `services: x: {` + good + `placement: {east: {}, west: {}}
hosts: ["x.x.svc.cluster.local"]}`,
		"host x.x.svc.cluster.local is a Kubernetes name, which Istio supports within one discovery group only: service x runs or is called in" +
			" several (control plane east, control plane west), so give it another host",
		"services.x.hosts.x.x.svc.cluster.local", 9,
	},
	{
		"a Kubernetes name of two services", `services: x: {` + good + `hosts: ["x.x.svc.cluster.local"]}
services: y: {` + good + `hosts: ["x.x.svc.cluster.local"]}`,
		"host x.x.svc.cluster.local is claimed by services.x and services.y", "services.y.hosts.x.x.svc.cluster.local", 14,
	},
	{
		"a weight with spread nearest", `services: x: {` + good + `spread: "nearest"
placement: east: weight: 1}`,
		"service x has spread nearest, so a weight has no effect: remove it, or set spread to weighted", "services.x.placement.east.weight", 9,
	},
	{
		"weights of a local-only service", `services: x: {` + good + `spread: "local-only"
placement: {east: weight: 1, west: {}}}`,
		"service x has spread local-only, so a weight has no effect: remove it, or set spread to weighted", "services.x.placement.east.weight", 9,
	},
	{
		"a standby of a local-only service", `services: x: {` + good + `spread: "local-only"
placement: east: standby: true}`,
		"service x is local-only, so a standby has no effect", "services.x.placement.east.standby", 9,
	},
	{
		"a caller of a local-only service in another cluster", `services: x: {` + good + `spread: "local-only"
placement: east: {}}
services: y: {` + good + `placement: {east: {}, west: {}}
egress: x: {}}`,
		"service y runs in west and calls service x, which is local-only and does not run there", "services.y.egress.x", 16,
	},
	{
		"a public gateway for a local-only service in another cluster", `clusters: west: publicGateway: {}
services: x: {` + good + `spread: "local-only"
placement: east: {}
expose: {credentialName: "x", clusters: ["west"]}}`,
		"service x is local-only and exposed in cluster west, where it does not run", "services.x.expose.clusters", 11,
	},
	{
		"a local-only service in clusters with a shared control plane", `clusters: nord: {region: "r", controlPlane: {kind: "remote", primary: "east"}}
services: x: {` + good + `spread: "local-only"
placement: {east: {}, nord: {}}}`,
		"service x is local-only in east and nord, which share the control plane of east: callers there get the same configuration, so calls cannot be kept in a cluster",
		"services.x.spread", 9,
	},
	{
		"an address for several versions", `services: x: {` + good + `versions: v2: labels: version: "v2"
placement: east: address: "192.0.2.7"}`,
		"service x has an address in cluster east and several versions there (v1, v2): callers cannot select a version at an address",
		"services.x.placement.east.address", 9,
	},
	{
		"a cluster without a tier", `settings: tiers: prod: calls: []
clusters: {east: tier: "prod", west: tier: "prod"}
clusters: nord: region: "r"`,
		"tier is missing: settings.tiers is set, so each cluster needs a tier", "clusters.nord.tier", 5,
	},
	{
		"a rule for a tier without clusters", `settings: tiers: {prod: calls: [], prdo: calls: ["prod"]}
clusters: {east: tier: "prod", west: tier: "prod"}`,
		"settings.tiers names tier prdo, which no cluster has", "settings.tiers.prdo", 3,
	},
	{
		"a call that the tiers do not allow", `settings: tiers: prod: calls: ["test"]
clusters: {east: tier: "prod", west: tier: "test"}
services: x: {` + good + `placement: west: {}
egress: web: {}}`,
		"service x runs in cluster west of tier test and calls service web in cluster east of tier prod: settings.tiers does not allow test to call prod",
		"services.x.egress.web", 11,
	},
}
