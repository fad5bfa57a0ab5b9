package gitops

import (
	"fmt"
	"strings"
)

// Service is a manifest: where a service runs, and whom it calls. It has one port, HTTP.
type Service struct {
	Name string
	// In are the clusters that it runs in, Egress the services that it calls.
	In, Egress []string
	// More is put into it as it is.
	More string
}

// String is the file that the manifest is.
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
