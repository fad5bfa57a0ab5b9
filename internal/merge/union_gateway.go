package merge

import (
	"maps"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// mergeServers merges the hosts of each server, except for live hosts that another desired server
// has on the same port: istiod drops a server whose host another server has.
func mergeServers(desired, live []any) []any {
	var ports []any
	served := map[string][]any{}
	for _, server := range desired {
		port := nested.Map(server, "port")
		ports = append(ports, port)
		served[PortNumber(port, "number")] = append(served[PortNumber(port, "number")], nested.List(server, "hosts")...)
	}
	unserved := make([]any, len(live))
	for i, server := range live {
		rest := maps.Clone(nested.Map(server))
		rest["hosts"] = minus(nested.List(server, "hosts"), served[PortNumber(nested.Map(server, "port"), "number")])
		unserved[i] = rest
	}
	return keyedList{
		key:  keyedBy("port.name", "port.number"),
		both: listRules{"hosts": mergeStrings}.merge,
		liveOnly: func(live map[string]any) map[string]any {
			if len(nested.List(live, "hosts")) == 0 {
				return nil
			}
			live["port"] = renamed(nested.Map(live, "port"), "number", ports)
			return live
		},
	}.merge(desired, unserved)
}

// finishGateway keeps the selector of workloads, unless the desired one selects all of them.
func finishGateway(merged, desired, live map[string]any) map[string]any {
	if !selectsAllOf(nested.Map(desired, "selector"), nested.Map(live, "selector")) {
		copyFields(merged, live, "selector")
	}
	return merged
}
