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
}

// Settings is #Settings, as far as Go needs it.
type Settings struct {
	Authorization   Guard             `json:"authorization"`
	Tiers           map[string]Tier   `json:"tiers,omitempty"`
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	Acknowledge     []string          `json:"acknowledge,omitempty"`
}

// Guard is how services are guarded that say nothing themselves.
type Guard struct {
	Mode string `json:"mode"`
}

// Tier is what clusters of one tier may call beside their own.
type Tier struct {
	Calls []string `json:"calls,omitempty"`
}
