package promise

import "strings"

// externalCalls are those of a declared external: each of its names and ports. A name with a wildcard is dialled under one that it covers.
func (p planet) externalCalls(from caller, external string) []Call {
	e := p.Externals[external]
	calls := []Call{}
	for _, host := range e.Hosts {
		for _, name := range sortedKeys(e.Ports) {
			port := e.Ports[name]
			call := Call{Caller: from.service, Callee: external, Case: "outside the mesh", Want: Want{External: true}}
			call.Cluster, call.Pod = from.cluster, from.pod.Name
			call.Host, call.Port, call.Protocol = strings.Replace(host, "*", "any", 1), port.Port, port.Protocol
			if len(e.Addresses) > 0 {
				call.Address, _, _ = strings.Cut(e.Addresses[0], "/")
			}
			if isHTTP(port.Protocol) {
				call.Protocol = "HTTP"
			}
			calls = append(calls, call)
		}
	}
	return calls
}
