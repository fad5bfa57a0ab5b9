package meshmodule_test

// group puts both clusters of the example into one discovery group.
const group = `
clusters: {east: discovery: "g", west: discovery: "g"}
`

// clusterMistakes: how clusters relate makes something impossible (checks_clusters.cue).
var clusterMistakes = []mistake{
	{
		"a remote cluster without its primary", `clusters: nord: {region: "r", controlPlane: kind: "remote"}`,
		"cluster nord is remote: controlPlane.primary has to name the cluster whose control plane configures it", "clusters.nord.controlPlane", 3,
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
		"cluster nord is in discovery group g, but its primary east is not: a remote cluster is where its primary is", "clusters.nord.discovery", 4,
	},
	{
		"a remote cluster with identities that its primary does not sign", `clusters: nord: {region: "r", controlPlane: {kind: "remote", primary: "east"}
trustDomain: "nord.example.com"}`,
		"cluster nord is remote to east, whose control plane signs its identities, but has another trustDomain", "clusters.nord.trustDomain", 4,
	},
	{
		"a primary that has one", `clusters: nord: {region: "r", controlPlane: primary: "east"}`,
		"cluster nord is a primary, so it cannot have one", "clusters.nord.controlPlane.primary", 3,
	},
	{
		"two clusters that Istio knows by one name", `clusters: nord: {region: "r", discovery: "g"}
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
		"service x has different namespaces in clusters of one discovery group (east, west): a host can stand for the pods of one namespace",
		"services.x.placement.west.backend.namespace", 8,
	},
	{
		"weights of pods that a caller discovers", `services: x: {` + good + `placement: {east: weight: 70, nord: weight: 30}}
services: y: {` + good + `placement: west: {}
egress: x: {}}
clusters: nord: {region: "r", gateways: [{address: "192.0.2.30"}]}` + group,
		"service x spreads by weight, but west of the same discovery group calls it and finds the pods in east itself, and those carry no weight." +
			" Routes with destinations by cluster share calls exactly",
		"services.x.placement.east.weight", 8,
	},
	{
		"a standby in a discovery group beside several active clusters", `services: x: {` + good + `placement: {east: {}, west: standby: true, nord: {}}}
clusters: nord: region: "r"` + group,
		"service x has a standby in a discovery group (east, west) and several active clusters (east, nord): pods that are discovered carry no rank," +
			" so one of a group may be on standby only for a single active cluster",
		"services.x.placement.west.standby", 8,
	},
	{
		"a standby in a discovery group that is the first of it", `services: x: {` + good + `placement: {
	east: standby: true
	west: {}
	nord: {}
}}
clusters: nord: region: "r"` + group,
		"service x has a standby in a discovery group (east, west) and several active clusters (west, nord): pods that are discovered carry no rank," +
			" so one of a group may be on standby only for a single active cluster",
		"services.x.placement.east.standby", 9,
	},
	{
		"a Kubernetes name that must not leave its cluster", `services: x: {` + good + `hosts: ["x.x.svc.cluster.local"], spread: "local-only", placement: {east: {}, west: {}}}
clusters: {east: discovery: "g", west: discovery: "g"}`,
		"service x is local-only and has the Kubernetes name x.x.svc.cluster.local, which Istio leads to the pods of every cluster of a discovery group: give it a host of its own",
		"services.x.hosts.x.x.svc.cluster.local", 8,
	},
	{
		"a standby beside a gateway that is a host name", `services: x: {` + good + `placement: {east: standby: true, nord: {}}}
clusters: nord: {region: "r", gateways: [{address: "nord.example.com"}]}
services: y: {owner: "y", ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "y", selector: app: "y", serviceAccounts: ["y"]}, placement: east: {}, egress: x: {}}`,
		"service x is on standby in cluster east, and cluster nord, which comes first, has a gateway that is a host name: Istio puts pods before names." +
			" Give the gateway an IP address, or no standby",
		"services.x.placement.east.standby", 8,
	},
	{
		"networks of a discovery group beside a gateway that is a host name", `services: x: {` + good + `placement: {
	east: {}
	west: {}
	nord: {}
}}
clusters: nord: {region: "r", gateways: [{address: "nord.example.com"}]}` + group,
		"service x runs or is called on several networks of one discovery group (east, west) and in cluster nord, whose gateway is a host name:" +
			" Istio finds no way between networks for such a mixture. Give the gateway an IP address",
		"services.x.placement.nord", 11,
	},
	{
		"a Kubernetes name of another namespace", `services: x: {` + good + `hosts: ["x.y.svc.cluster.local"]}`,
		"host x.y.svc.cluster.local is a Kubernetes name in namespace y, where the pods of service x are not",
		"services.x.hosts.x.y.svc.cluster.local", 8,
	},
	{
		"a Kubernetes name of clusters that do not discover each other", `services: x: {` + good + `placement: {east: {}, west: {}}
hosts: ["x.x.svc.cluster.local"]}`,
		"host x.x.svc.cluster.local is a Kubernetes name, which Istio makes work within one discovery group only: service x runs or is called in" +
			" several (control plane east, control plane west), so give it a host of its own",
		"services.x.hosts.x.x.svc.cluster.local", 9,
	},
	{
		"a Kubernetes name of two services", `services: x: {` + good + `hosts: ["x.x.svc.cluster.local"]}
services: y: {` + good + `hosts: ["x.x.svc.cluster.local"]}`,
		"host x.x.svc.cluster.local is claimed by services.x and services.y", "services.y.hosts.x.x.svc.cluster.local", 14,
	},
	{
		"a weight where distance decides", `services: x: {` + good + `spread: "nearest"
placement: east: weight: 1}`,
		"service x spreads its calls nearest, so a weight has no effect: leave it out, or spread: \"weighted\"", "services.x.placement.east.weight", 9,
	},
	{
		"weights of a service that never leaves its cluster", `services: x: {` + good + `spread: "local-only"
placement: {east: weight: 1, west: {}}}`,
		"service x spreads its calls local-only, so a weight has no effect: leave it out, or spread: \"weighted\"", "services.x.placement.east.weight", 9,
	},
	{
		"a standby of a service that never leaves its cluster", `services: x: {` + good + `spread: "local-only"
placement: east: standby: true}`,
		"service x is local-only, so a standby has no effect", "services.x.placement.east.standby", 9,
	},
	{
		"a caller beyond the reach of a service that never leaves its cluster", `services: x: {` + good + `spread: "local-only"
placement: east: {}}
services: y: {` + good + `placement: {east: {}, west: {}}
egress: x: {}}`,
		"service y runs in west and calls service x, which is local-only and does not run there", "services.y.egress.x", 16,
	},
	{
		"a public gateway beyond the reach of a service that never leaves its cluster", `clusters: west: publicGateway: {}
services: x: {` + good + `spread: "local-only"
placement: east: {}
expose: {credentialName: "x", clusters: ["west"]}}`,
		"service x is local-only and exposed in cluster west, where it does not run", "services.x.expose.clusters", 11,
	},
	{
		"one control plane for clusters that calls must not leave", `clusters: nord: {region: "r", controlPlane: {kind: "remote", primary: "east"}}
services: x: {` + good + `spread: "local-only"
placement: {east: {}, nord: {}}}`,
		"service x is local-only in east and nord, which share the control plane of east: callers there get the same configuration, so calls cannot be kept in a cluster",
		"services.x.spread", 9,
	},
	{
		"an address that cannot be asked for a version", `services: x: {` + good + `versions: v2: labels: version: "v2"
placement: east: address: "192.0.2.7"}`,
		"service x has an address of its own in cluster east and several versions there (v1, v2): an address cannot be asked for one of them",
		"services.x.placement.east.address", 9,
	},
	{
		"a cluster of no tier where there are rules for tiers", `settings: tiers: prod: calls: []
clusters: {east: tier: "prod", west: tier: "prod"}
clusters: nord: region: "r"`,
		"tier is missing: settings.tiers says which tiers may call which", "clusters.nord.tier", 5,
	},
	{
		"a rule for a tier that no cluster is of", `settings: tiers: {prod: calls: [], prdo: calls: ["prod"]}
clusters: {east: tier: "prod", west: tier: "prod"}`,
		"settings.tiers names tier prdo, which no cluster is of", "settings.tiers.prdo", 3,
	},
	{
		"a call from a tier that must not make it", `settings: tiers: prod: calls: ["test"]
clusters: {east: tier: "prod", west: tier: "test"}
services: x: {` + good + `placement: west: {}
egress: web: {}}`,
		"service x runs in cluster west of tier test and calls service web in cluster east of tier prod: settings.tiers does not let test call prod",
		"services.x.egress.web", 11,
	},
}
