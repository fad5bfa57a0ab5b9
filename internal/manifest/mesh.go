package manifest

// Mesh is a whole mesh repository after evaluation, defaults filled in.
type Mesh struct {
	Settings  Settings            `json:"settings"`
	Clusters  map[string]Cluster  `json:"clusters"`
	Services  map[string]Service  `json:"services"`
	Externals map[string]External `json:"externals"`
}

// Service is #Service of the CUE module; the key in Mesh.Services is its name in the whole mesh.
type Service struct {
	Owner     string               `json:"owner"`
	Hosts     []string             `json:"hosts,omitempty"`
	Ports     map[string]Port      `json:"ports"`
	Backend   Backend              `json:"backend"`
	Versions  map[string]Version   `json:"versions,omitempty"`
	Placement map[string]Placement `json:"placement,omitempty"`
	Egress    map[string]struct{}  `json:"egress,omitempty"`
}

// Port is #Port; TargetPort is 0 where it equals Port.
type Port struct {
	Port       int    `json:"port"`
	Protocol   string `json:"protocol"`
	TargetPort int    `json:"targetPort,omitempty"`
}

// Backend is #Backend: pods by selector, or a Kubernetes Service by name.
type Backend struct {
	Namespace       string            `json:"namespace,omitempty"`
	Selector        map[string]string `json:"selector,omitempty"`
	Service         string            `json:"service,omitempty"`
	ServiceAccounts []string          `json:"serviceAccounts,omitempty"`
}

// Version is one variant of a service, by the pod labels that tell it apart.
type Version struct {
	Labels map[string]string `json:"labels"`
}

// Placement is #Placement: how a service runs in one cluster.
type Placement struct {
	Weight   int      `json:"weight,omitempty"`
	Standby  bool     `json:"standby,omitempty"`
	Versions []string `json:"versions,omitempty"`
	Backend  *Backend `json:"backend,omitempty"`
}

// Cluster is #Cluster.
type Cluster struct {
	Region      string    `json:"region"`
	Zone        string    `json:"zone,omitempty"`
	Tier        string    `json:"tier,omitempty"`
	Network     string    `json:"network,omitempty"`
	Gateways    []Gateway `json:"gateways,omitempty"`
	TrustDomain string    `json:"trustDomain"`
	State       string    `json:"state"`
	DNS         string    `json:"dns"`
	UID         string    `json:"uid,omitempty"`
}

// Gateway is one address at which other clusters reach a cluster.
type Gateway struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// External is #External.
type External struct {
	Hosts []string        `json:"hosts"`
	Ports map[string]Port `json:"ports"`
}

// Settings is #Settings, as far as Go needs it.
type Settings struct {
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	Acknowledge     []string          `json:"acknowledge,omitempty"`
}
