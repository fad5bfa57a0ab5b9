package promise

import (
	"fmt"
)

// publicCalls are calls from outside, as public gateways pass them on.
func (p planet) publicCalls() []Call {
	calls := []Call{}
	for _, callee := range sortedKeys(p.Services) {
		s := p.Services[callee]
		for _, cluster := range exposedOn(p.Mesh, callee) {
			g := publicGateway(p.Mesh, cluster)
			port := exposedPort(p.Mesh, callee)
			identity := "spiffe://" + principal(p.Clusters[cluster].TrustDomain, g.Namespace, g.ServiceAccount)
			for _, host := range hosts(p.Mesh, callee) {
				want := wanted{service: callee, host: host, port: s.Ports[port]}
				call := p.newCall(caller{service: "public gateway", cluster: cluster, identity: identity}, want, port)
				call.Pod, call.Port, call.Address = "public", g.Port, ""
				call.Want.Destinations = []Destination{p.destination(cluster, want, 1)}
				call.Case = fmt.Sprintf("from outside for port %d", want.port.Port)
				calls = append(calls, call)
			}
		}
	}
	return calls
}
