// Package scenario describes a mesh at one moment: the clusters with their platform, the pods, and
// the rendered bundles. A [Scenario] is plain data. It contains no expected results.
package scenario

// Scenario is a mesh at one moment.
type Scenario struct {
	Clusters []Cluster
	Pods     []Pod
	// LoadBalancers are reachable from other clusters.
	LoadBalancers []LoadBalancer
	// Bundles are the rendered resources by cluster, then by Kind/namespace/name.
	Bundles map[string]map[string]map[string]any
}

// Cluster is one cluster with the settings of its platform.
type Cluster struct {
	Name string
	// ControlPlane is the cluster whose istiod configures the proxies, Name itself for a primary.
	ControlPlane string
	// Watched lists the other clusters whose API servers this istiod reads (remote secrets). Only
	// for a primary.
	Watched []string
	// IstioID is Istio's cluster ID. Network is topology.istio.io/network ("" for none).
	IstioID, Network string
	TrustDomain      string
	// TrustDomainAliases of the mesh config.
	TrustDomainAliases []string
	// Region and Zone of the nodes.
	Region, Zone string
	Gateways     []Gateway
	// GatewayUnreachable: no other cluster can connect to the cross-cluster gateways.
	GatewayUnreachable bool
	// RequestedNetworkView: the gateways see endpoints of their own network only
	// (ISTIO_META_REQUESTED_NETWORK_VIEW).
	RequestedNetworkView bool
	// Public is the public ingress gateway, nil for none.
	Public *Workload
}

// Gateway is one address of the cluster's cross-cluster gateways: an IP or a host name.
type Gateway struct {
	Address  string
	Port     int
	Workload Workload
}

// Workload holds the namespace, identity and labels of pods.
type Workload struct {
	Namespace      string
	ServiceAccount string
	Labels         map[string]string
}

// Pod is one pod, by default with a sidecar.
type Pod struct {
	Cluster string
	Name    string
	IP      string
	Workload
	// Ports maps the container ports to their names ("" for none).
	Ports map[int]string
	// Service is the Kubernetes Service (same namespace) in front of the pod, "" for none.
	Service string
	// ServicePorts maps the ports of the Kubernetes Service to those of the pod.
	ServicePorts map[int]int
	Ready        bool
	// NoSidecar: the pod does not support mTLS.
	NoSidecar bool
}

// LoadBalancer is an address in front of the ready pods of one Kubernetes Service. Service names
// the Service as Pod.Service does. The load balancer listens on the ports of the Service.
type LoadBalancer struct {
	Cluster, Address, Namespace, Service string
}
