package repo

// Mesh is what the files of a mesh repository say, defaults of the schema included.
type Mesh struct {
	Settings  Settings            `json:"settings"`
	Clusters  map[string]Cluster  `json:"clusters"`
	Services  map[string]Service  `json:"services"`
	Externals map[string]External `json:"externals"`
}

// Settings hold for the whole mesh.
type Settings struct {
	Domain        string           `json:"domain"`
	ExportSuffix  string           `json:"exportSuffix"`
	Gateway       GatewayWorkload  `json:"gateway"`
	PublicGateway *PublicGateway   `json:"publicGateway"`
	Authorization Authorization    `json:"authorization"`
	Tiers         map[string]Tiers `json:"tiers"`
	VIPRange      VIPRange         `json:"vipRange"`
}

// VIPRange is where virtual addresses come from, both ends included.
type VIPRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Tiers are those that a tier may call beside itself.
type Tiers struct {
	Calls []string `json:"calls"`
}

// GatewayWorkload is what runs behind the addresses of the cross-cluster gateways.
type GatewayWorkload struct {
	Namespace string            `json:"namespace"`
	Selector  map[string]string `json:"selector"`
	Port      int               `json:"port"`
}

// PublicGateway is what lets calls in from outside.
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

// ControlPlane says whose istiod configures a cluster's proxies.
type ControlPlane struct {
	Kind    string `json:"kind"`
	Primary string `json:"primary"`
}

// Gateway is one address of a cluster.
type Gateway struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// Service is what its owner and the platform wrote of it.
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

// Port is one that callers use.
type Port struct {
	Port       int    `json:"port"`
	Protocol   string `json:"protocol"`
	TargetPort int    `json:"targetPort"`
}

// Backend tells which pods serve.
type Backend struct {
	Namespace       string            `json:"namespace"`
	Selector        map[string]string `json:"selector"`
	Service         string            `json:"service"`
	ServiceAccounts []string          `json:"serviceAccounts"`
}

// Version is told apart by labels.
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

// Egress is a declared call, with what it is limited to.
type Egress struct {
	Ports   []string `json:"ports"`
	Methods []string `json:"methods"`
	Paths   []string `json:"paths"`
}

// Route is a route of any protocol. Fields that only carry Istio's own words stay as they are.
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

// PerHost replaces, for one host, what the service says for all.
type PerHost struct {
	Routes    []Route        `json:"routes"`
	TCPRoutes []Route        `json:"tcpRoutes"`
	TLSRoutes []Route        `json:"tlsRoutes"`
	Traffic   map[string]any `json:"traffic"`
}

// Expose puts a service on public gateways.
type Expose struct {
	Port           string   `json:"port"`
	CredentialName string   `json:"credentialName"`
	Clusters       []string `json:"clusters"`
}

// Authorization says who may call.
type Authorization struct {
	Mode    string   `json:"mode"`
	Callers []string `json:"callers"`
	Allow   []string `json:"allow"`
}

// External is something outside the mesh.
type External struct {
	Hosts      []string        `json:"hosts"`
	Ports      map[string]Port `json:"ports"`
	Addresses  []string        `json:"addresses"`
	Resolution string          `json:"resolution"`
}
