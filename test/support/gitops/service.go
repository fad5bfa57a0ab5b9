package gitops

import (
	"fmt"
	"strings"
)

// Service is the manifest of a service with one HTTP port.
type Service struct {
	Name string
	// In are the clusters of its placement, Egress the services that it calls.
	In, Egress []string
	// More is CUE source that is added to the manifest.
	More string
}

// String returns the service file.
func (s Service) String() string {
	var in, egress []string
	for _, cluster := range s.In {
		in = append(in, cluster+": {}")
	}
	for _, callee := range s.Egress {
		egress = append(egress, fmt.Sprintf("%q: {}", callee))
	}
	return fmt.Sprintf(`package config

services: %[1]q: {
	owner: "tests"
	ports: http: {port: 80, protocol: "HTTP", targetPort: 8080}
	backend: {namespace: %[1]q, selector: app: %[1]q, serviceAccounts: [%[1]q]}
	placement: {%[2]s}
	egress: {%[3]s}
	%[4]s
}
`, s.Name, strings.Join(in, ", "), strings.Join(egress, ", "), s.More)
}
