package manifest

// Service is #Service of the CUE module; the key in Mesh.Services is its name in the whole mesh.
type Service struct {
	Owner string   `json:"owner"`
	Hosts []string `json:"hosts,omitempty"`
	// VIP is the virtual address that was written down, "" for one that follows from the host.
	VIP       string               `json:"vip,omitempty"`
	Ports     map[string]Port      `json:"ports"`
	Backend   Backend              `json:"backend"`
	Versions  map[string]Version   `json:"versions,omitempty"`
	Placement map[string]Placement `json:"placement,omitempty"`
	Egress    map[string]struct{}  `json:"egress,omitempty"`
	// Spread is "" where nothing was said.
	Spread Spread `json:"spread,omitempty"`
	// ClusterHosts: <cluster>.<host> reaches one cluster only.
	ClusterHosts bool `json:"clusterHosts,omitempty"`
	// Sidecar: its proxies know what it calls and nothing else.
	Sidecar bool `json:"sidecar,omitempty"`
	// Expose is nil for a service that no public gateway has.
	Expose        *Expose       `json:"expose,omitempty"`
	Authorization Authorization `json:"authorization"`
}

// Spread is how calls are shared among the clusters that run a service.
type Spread string

const (
	// Nearest is the default, local pods first and then by zone and region; Weighted that of a service with a
	// weight in any placement.
	Nearest  Spread = "nearest"
	Weighted Spread = "weighted"
	// LocalOnly never leaves the caller's cluster.
	LocalOnly Spread = "local-only"
)

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
	// Address is where callers on the same network find the service without a gateway, "" for nowhere.
	Address string `json:"address,omitempty"`
}

// Expose is #Expose: the public gateways that a service is on.
type Expose struct {
	// Port by name, "" for the only one.
	Port           string `json:"port,omitempty"`
	CredentialName string `json:"credentialName,omitempty"`
	// Clusters is empty for all that run the service and have a public gateway.
	Clusters []string `json:"clusters,omitempty"`
}

// Authorization is #Authorization: who may call a service.
type Authorization struct {
	// Mode is "" for that of the settings.
	Mode string `json:"mode,omitempty"`
	// Callers is nil where any service may declare a call; an empty list lets none.
	Callers []string `json:"callers,omitempty"`
	Allow   []string `json:"allow,omitempty"`
}
