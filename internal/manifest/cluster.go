package manifest

// Cluster is #Cluster.
type Cluster struct {
	Region string `json:"region"`
	Zone   string `json:"zone,omitempty"`
	Tier   string `json:"tier,omitempty"`
	// Network is "" for one of its own.
	Network     string    `json:"network,omitempty"`
	Gateways    []Gateway `json:"gateways,omitempty"`
	TrustDomain string    `json:"trustDomain"`
	State       State     `json:"state"`
	DNS         string    `json:"dns"`
	// Discovery is the group of clusters that watch each other's API servers, "" for none.
	Discovery    string       `json:"discovery,omitempty"`
	ControlPlane ControlPlane `json:"controlPlane"`
	// IstioClusterID is Istio's name of the cluster, "" for the same as in the inventory.
	IstioClusterID string `json:"istioClusterID,omitempty"`
	// PublicGateway is nil for a cluster that lets nothing in from outside.
	PublicGateway *PublicGateway `json:"publicGateway,omitempty"`
	UID           string         `json:"uid,omitempty"`
}

// State is whether a cluster takes calls from others.
type State string

// The states of a cluster.
const (
	Active   State = "active"
	Draining State = "draining"
	Down     State = "down"
)

// ControlPlane is where a cluster's proxies get their configuration from.
type ControlPlane struct {
	Kind ControlPlaneKind `json:"kind"`
	// Primary is the cluster whose control plane it is, for a Remote one.
	Primary string `json:"primary,omitempty"`
}

// ControlPlaneKind is whether a cluster has a control plane of its own.
type ControlPlaneKind string

// The kinds of control planes.
const (
	Primary ControlPlaneKind = "primary"
	Remote  ControlPlaneKind = "remote"
)

// Gateway is one address at which other clusters reach a cluster.
type Gateway struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// PublicGateway is what a cluster's public gateway has otherwise than settings.publicGateway.
type PublicGateway struct {
	Namespace      string            `json:"namespace,omitempty"`
	Selector       map[string]string `json:"selector,omitempty"`
	Port           int               `json:"port,omitempty"`
	ServiceAccount string            `json:"serviceAccount,omitempty"`
}
