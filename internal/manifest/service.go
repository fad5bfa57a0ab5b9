package manifest

// Service is #Service. Its key in Mesh.Services is unique in the mesh.
type Service struct {
	Owner string   `json:"owner"`
	Hosts []string `json:"hosts,omitempty"`
	// VIP is the virtual address in the manifest, "" if it is derived from the host.
	VIP       string               `json:"vip,omitempty"`
	Ports     map[string]Port      `json:"ports"`
	Backend   Backend              `json:"backend"`
	Versions  map[string]Version   `json:"versions,omitempty"`
	Placement map[string]Placement `json:"placement,omitempty"`
	Egress    map[string]struct{}  `json:"egress,omitempty"`
	// Spread is "" if not set.
	Spread Spread `json:"spread,omitempty"`
	// ClusterHosts adds hosts <cluster>.<host> that reach one cluster.
	ClusterHosts bool `json:"clusterHosts,omitempty"`
	// Sidecar limits the configuration of the service's proxies to what it calls.
	Sidecar bool `json:"sidecar,omitempty"`
	// Expose is nil for a service that no public gateway publishes.
	Expose        *Expose       `json:"expose,omitempty"`
	Authorization Authorization `json:"authorization"`
}

// Spread is the distribution of calls over the clusters that run a service.
type Spread string

const (
	// Nearest prefers local pods, then clusters by zone and region. It is the default.
	Nearest Spread = "nearest"
	// Weighted is the default of a service with a weight in any placement.
	Weighted Spread = "weighted"
	// LocalOnly calls stay in the caller's cluster.
	LocalOnly Spread = "local-only"
)

// Port is #Port. TargetPort is 0 if it equals Port.
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

// Version is a variant of a service's pods, distinguished by labels.
type Version struct {
	Labels map[string]string `json:"labels"`
}

// Placement is #Placement, a service in one cluster.
type Placement struct {
	Weight   int      `json:"weight,omitempty"`
	Standby  bool     `json:"standby,omitempty"`
	Versions []string `json:"versions,omitempty"`
	Backend  *Backend `json:"backend,omitempty"`
	// Address replaces the gateway for callers on the same network, "" for none.
	Address string `json:"address,omitempty"`
}

// Expose is #Expose, the public gateways that publish a service.
type Expose struct {
	// Port by name, "" for the only port.
	Port           string `json:"port,omitempty"`
	CredentialName string `json:"credentialName,omitempty"`
	// Clusters is empty for all clusters that run the service and have a public gateway.
	Clusters []string `json:"clusters,omitempty"`
}

// Authorization is #Authorization, the allowed callers of a service.
type Authorization struct {
	// Mode is "" for the mode in the settings.
	Mode string `json:"mode,omitempty"`
	// Callers is nil if all services may declare a call; an empty list allows none.
	Callers []string `json:"callers,omitempty"`
	Allow   []string `json:"allow,omitempty"`
}
