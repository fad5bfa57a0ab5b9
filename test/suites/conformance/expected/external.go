package expected

import "strings"

// externalCalls are the calls of a declared external: one for each host and port. A wildcard host
// is called by a name that it covers.
func (o oracle) externalCalls(from caller, external string) []Call {
	e := o.Externals[external]
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
