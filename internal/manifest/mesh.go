package manifest

// Mesh is a whole mesh repository after evaluation, defaults filled in.
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
	// Addresses are the IPs or networks of one that is told apart by nothing else.
	Addresses []string `json:"addresses,omitempty"`
}

// Settings is #Settings, as far as Go needs it.
type Settings struct {
	// Domain ends the hosts of services that state none.
	Domain string `json:"domain"`
	// VIPRange is where virtual addresses come from.
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

// Guard is how services are guarded that say nothing themselves.
type Guard struct {
	Mode string `json:"mode"`
}

// Tier is what clusters of one tier may call beside their own.
type Tier struct {
	Calls []string `json:"calls,omitempty"`
}
