package manifest

// Mesh is an evaluated mesh repository, with defaults.
type Mesh struct {
	Settings  Settings            `json:"settings"`
	Clusters  map[string]Cluster  `json:"clusters"`
	Services  map[string]Service  `json:"services"`
	Externals map[string]External `json:"externals"`
}

// External is #External.
type External struct {
	Hosts []string        `json:"hosts"`
	Ports map[string]Port `json:"ports"`
	// Addresses are the IP addresses or networks (CIDR) of an external with TCP ports.
	Addresses []string `json:"addresses,omitempty"`
}

// Settings has the fields of #Settings that Go code uses.
type Settings struct {
	// Domain is the suffix of the default hosts.
	Domain string `json:"domain"`
	// VIPRange holds the virtual addresses.
	VIPRange        AddressRange      `json:"vipRange"`
	Authorization   Guard             `json:"authorization"`
	Tiers           map[string]Tier   `json:"tiers,omitempty"`
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	Acknowledge     []string          `json:"acknowledge,omitempty"`
}

// AddressRange is a range of IPv4 addresses, both ends included.
type AddressRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Guard is the default authorization of services.
type Guard struct {
	Mode string `json:"mode"`
}

// Tier lists the other tiers that a tier may call.
type Tier struct {
	Calls []string `json:"calls,omitempty"`
}
