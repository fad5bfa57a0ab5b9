package repo

// The types of this file repeat those of internal/manifest on purpose. The suite is an oracle: it
// reads manifests without production code, so that it cannot share a mistake with it.

// Mesh holds the manifests of a mesh repository, including the defaults of the schema.
type Mesh struct {
	Settings  Settings            `json:"settings"`
	Clusters  map[string]Cluster  `json:"clusters"`
	Services  map[string]Service  `json:"services"`
	Externals map[string]External `json:"externals"`
}

// Settings apply to the whole mesh.
type Settings struct {
	Domain        string           `json:"domain"`
	ExportSuffix  string           `json:"exportSuffix"`
	Gateway       GatewayWorkload  `json:"gateway"`
	PublicGateway *PublicGateway   `json:"publicGateway"`
	Authorization Authorization    `json:"authorization"`
	Tiers         map[string]Tiers `json:"tiers"`
	VIPRange      VIPRange         `json:"vipRange"`
}

// VIPRange is the range of virtual addresses, including both ends.
type VIPRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Tiers lists the other tiers that a tier may call.
type Tiers struct {
	Calls []string `json:"calls"`
}

// GatewayWorkload selects the pods of the cross-cluster gateways.
type GatewayWorkload struct {
	Namespace string            `json:"namespace"`
	Selector  map[string]string `json:"selector"`
	Port      int               `json:"port"`
}

// PublicGateway selects the pods of the public ingress gateway.
type PublicGateway struct {
	Namespace      string            `json:"namespace"`
	Selector       map[string]string `json:"selector"`
	Port           int               `json:"port"`
	ServiceAccount string            `json:"serviceAccount"`
}

// Cluster is one entry of the inventory.
type Cluster struct {
	Region         string           `json:"region"`
	Zone           string           `json:"zone"`
	Tier           string           `json:"tier"`
	Network        string           `json:"network"`
	Gateways       []Gateway        `json:"gateways"`
	Gateway        *GatewayWorkload `json:"gateway"`
	TrustDomain    string           `json:"trustDomain"`
	State          string           `json:"state"`
	DNS            string           `json:"dns"`
	Discovery      string           `json:"discovery"`
	ControlPlane   ControlPlane     `json:"controlPlane"`
	IstioClusterID string           `json:"istioClusterID"`
	PublicGateway  *PublicGateway   `json:"publicGateway"`
}

// ControlPlane states which istiod configures a cluster's proxies.
type ControlPlane struct {
	Kind    string `json:"kind"`
	Primary string `json:"primary"`
}

// Gateway is one gateway address of a cluster.
type Gateway struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// Service is the manifest of a service.
type Service struct {
	Hosts         []string             `json:"hosts"`
	VIP           string               `json:"vip"`
	Ports         map[string]Port      `json:"ports"`
	Backend       Backend              `json:"backend"`
	Versions      map[string]Version   `json:"versions"`
	Placement     map[string]Placement `json:"placement"`
	Egress        map[string]Egress    `json:"egress"`
	Spread        string               `json:"spread"`
	ClusterHosts  bool                 `json:"clusterHosts"`
	Routes        []Route              `json:"routes"`
	TCPRoutes     []Route              `json:"tcpRoutes"`
	TLSRoutes     []Route              `json:"tlsRoutes"`
	Traffic       map[string]any       `json:"traffic"`
	PerHost       map[string]PerHost   `json:"perHost"`
	Expose        *Expose              `json:"expose"`
	Authorization Authorization        `json:"authorization"`
	Sidecar       bool                 `json:"sidecar"`
}

// Port is a port that callers use.
type Port struct {
	Port       int    `json:"port"`
	Protocol   string `json:"protocol"`
	TargetPort int    `json:"targetPort"`
}

// Backend selects the pods of a service.
type Backend struct {
	Namespace       string            `json:"namespace"`
	Selector        map[string]string `json:"selector"`
	Service         string            `json:"service"`
	ServiceAccounts []string          `json:"serviceAccounts"`
}

// Version is identified by labels.
type Version struct {
	Labels map[string]string `json:"labels"`
}

// Placement is a service in a cluster.
type Placement struct {
	Weight   int      `json:"weight"`
	Standby  bool     `json:"standby"`
	Versions []string `json:"versions"`
	Backend  *Backend `json:"backend"`
	Address  string   `json:"address"`
}

// Egress is a declared call and its limits.
type Egress struct {
	Ports   []string `json:"ports"`
	Methods []string `json:"methods"`
	Paths   []string `json:"paths"`
}

// Route is a route of any protocol. Fields in Istio's own format are not decoded further.
type Route struct {
	Name             string           `json:"name"`
	Match            []map[string]any `json:"match"`
	To               []Destination    `json:"to"`
	Mirror           *Destination     `json:"mirror"`
	MirrorPercentage map[string]any   `json:"mirrorPercentage"`
	Timeout          string           `json:"timeout"`
	Retries          map[string]any   `json:"retries"`
	Fault            map[string]any   `json:"fault"`
	Rewrite          map[string]any   `json:"rewrite"`
	Redirect         map[string]any   `json:"redirect"`
	DirectResponse   map[string]any   `json:"directResponse"`
	Headers          map[string]any   `json:"headers"`
	CORSPolicy       map[string]any   `json:"corsPolicy"`
}

// Destination is a version, a cluster, or a version in a cluster.
type Destination struct {
	Version string         `json:"version"`
	Cluster string         `json:"cluster"`
	Weight  *int           `json:"weight"`
	Headers map[string]any `json:"headers"`
}

// PerHost replaces routes and traffic policy for one host.
type PerHost struct {
	Routes    []Route        `json:"routes"`
	TCPRoutes []Route        `json:"tcpRoutes"`
	TLSRoutes []Route        `json:"tlsRoutes"`
	Traffic   map[string]any `json:"traffic"`
}

// Expose publishes a service on public gateways.
type Expose struct {
	Port           string   `json:"port"`
	CredentialName string   `json:"credentialName"`
	Clusters       []string `json:"clusters"`
}

// Authorization limits the callers.
type Authorization struct {
	Mode    string   `json:"mode"`
	Callers []string `json:"callers"`
	Allow   []string `json:"allow"`
}

// External is a service outside the mesh.
type External struct {
	Hosts      []string        `json:"hosts"`
	Ports      map[string]Port `json:"ports"`
	Addresses  []string        `json:"addresses"`
	Resolution string          `json:"resolution"`
}
