package e2e_test

import (
	"fmt"
	"strings"
)

// service is a manifest: where it runs, and whom it calls.
type service struct {
	name   string
	in     []string
	egress []string
	// more is put into it as it is.
	more string
}

func (s service) String() string {
	var in, egress []string
	for _, cluster := range s.in {
		in = append(in, cluster+": {}")
	}
	for _, callee := range s.egress {
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
`, s.name, strings.Join(in, ", "), strings.Join(egress, ", "), s.more)
}

// many are n services in west, all called from east by one more, and the files that hold them.
func many(n int) map[string]string {
	caller := service{name: "hub", in: []string{east}}
	files := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("item-%d", i)
		caller.egress = append(caller.egress, name)
		files["services/"+name+".cue"] = service{name: name, in: []string{west}}.String()
	}
	files["services/hub.cue"] = caller.String()
	return files
}

// without is a change that removes these files.
func without(files map[string]string) map[string]string {
	out := map[string]string{}
	for name := range files {
		out[name] = ""
	}
	return out
}
