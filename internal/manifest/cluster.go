package manifest

// Cluster is #Cluster.
type Cluster struct {
	Region string `json:"region"`
	Zone   string `json:"zone,omitempty"`
	Tier   string `json:"tier,omitempty"`
	// Network is "" for a network of the cluster's own.
	Network     string    `json:"network,omitempty"`
	Gateways    []Gateway `json:"gateways,omitempty"`
	TrustDomain string    `json:"trustDomain"`
	State       State     `json:"state"`
	DNS         string    `json:"dns"`
	// Discovery is the group of clusters whose control planes watch each other's API servers, ""
	// for none.
	Discovery    string       `json:"discovery,omitempty"`
	ControlPlane ControlPlane `json:"controlPlane"`
	// IstioClusterID is Istio's name of the cluster, "" for the name in the inventory.
	IstioClusterID string `json:"istioClusterID,omitempty"`
	// PublicGateway is nil for a cluster that accepts no calls from outside the mesh.
	PublicGateway *PublicGateway `json:"publicGateway,omitempty"`
	UID           string         `json:"uid,omitempty"`
}

// State decides whether a cluster accepts calls from other clusters.
type State string

// The states of a cluster.
const (
	Active   State = "active"
	Draining State = "draining"
	Down     State = "down"
)

// ControlPlane is the control plane that configures the cluster's proxies.
type ControlPlane struct {
	Kind ControlPlaneKind `json:"kind"`
	// Primary is the cluster with the control plane, for a Remote cluster.
	Primary string `json:"primary,omitempty"`
}

// ControlPlaneKind is Primary for a cluster with its own control plane.
type ControlPlaneKind string

// The kinds of control planes.
const (
	Primary ControlPlaneKind = "primary"
	Remote  ControlPlaneKind = "remote"
)

// Gateway is an address at which other clusters reach a cluster.
type Gateway struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// PublicGateway overrides settings.publicGateway for a cluster.
type PublicGateway struct {
	Namespace      string            `json:"namespace,omitempty"`
	Selector       map[string]string `json:"selector,omitempty"`
	Port           int               `json:"port,omitempty"`
	ServiceAccount string            `json:"serviceAccount,omitempty"`
}
