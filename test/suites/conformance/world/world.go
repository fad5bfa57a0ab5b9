// Package world describes what a trace needs beside the bundles: the clusters as their platforms set them up, and which pods
// run where. A World is plain data; nothing in it says what should happen.
package world

// World is a mesh at one moment.
type World struct {
	Clusters []Cluster
	Pods     []Pod
	// LoadBalancers are addresses that reach a Kubernetes Service's pods from outside their cluster.
	LoadBalancers []LoadBalancer
	// Bundles are the rendered resources of each cluster's controller, by cluster, then by Kind/namespace/name.
	Bundles map[string]map[string]map[string]any
}

// Cluster is one cluster with what its platform team set up.
type Cluster struct {
	Name string
	// ControlPlane is the cluster whose istiod configures the proxies here, Name itself for a primary.
	ControlPlane string
	// Watched are the other clusters whose API servers that istiod reads (remote secrets); only for a primary.
	Watched []string
	// IstioID is Istio's name of the cluster, Network its topology.istio.io/network ("" for none).
	IstioID, Network string
	TrustDomain      string
	// TrustDomainAliases of the control plane's mesh.
	TrustDomainAliases []string
	// Region and Zone are those of the nodes.
	Region, Zone string
	Gateways     []Gateway
	// GatewayUnreachable: nobody outside gets through to the cross-cluster gateways.
	GatewayUnreachable bool
	// RequestedNetworkView: the gateways are told to see endpoints of their own network only (ISTIO_META_REQUESTED_NETWORK_VIEW).
	RequestedNetworkView bool
	// Public is the public ingress gateway; nil for none.
	Public *Workload
}

// Gateway is one address of the cluster's cross-cluster gateways, an IP or a name, as others dial it.
type Gateway struct {
	Address  string
	Port     int
	Workload Workload
}

// Workload is what runs: where, as whom, under which labels.
type Workload struct {
	Namespace      string
	ServiceAccount string
	Labels         map[string]string
}

// Pod is one pod with a sidecar.
type Pod struct {
	Cluster string
	Name    string
	IP      string
	Workload
	// Ports are the numbers its containers listen on, named where a container port has a name.
	Ports map[int]string
	// Service is the Kubernetes Service (same namespace) in front of it, "" for none.
	Service string
	// ServicePorts map the Kubernetes Service's ports to those of the pod.
	ServicePorts map[int]int
	// Ready: false is a pod that Istio does not send to.
	Ready bool
	// NoSidecar: it speaks no mTLS.
	NoSidecar bool
}
