package expected

import "fmt"

// publicCalls are calls from outside the mesh that public gateways forward.
func (o oracle) publicCalls() []Call {
	calls := []Call{}
	for _, callee := range sortedKeys(o.Services) {
		s := o.Services[callee]
		for _, cluster := range exposedOn(o.Mesh, callee) {
			g := publicGateway(o.Mesh, cluster)
			port := exposedPort(o.Mesh, callee)
			identity := "spiffe://" + principal(o.Clusters[cluster].TrustDomain, g.Namespace, g.ServiceAccount)
			for _, host := range hosts(o.Mesh, callee) {
				target := callTarget{service: callee, host: host, port: s.Ports[port]}
				call := o.newCall(caller{service: "public gateway", cluster: cluster, identity: identity}, target, port)
				call.Pod, call.Port, call.Address = "public", g.Port, ""
				call.Want.Destinations = []Destination{o.destination(cluster, target, 1)}
				call.Case = fmt.Sprintf("from outside for port %d", target.port.Port)
				calls = append(calls, call)
			}
		}
	}
	return calls
}
