package merge

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// mergeGateways merges the gateways of a VirtualService. Without gateways it is for the proxies of
// the mesh.
func mergeGateways(desired, live []any) []any {
	wanted, had := orMesh(desired), orMesh(live)
	if len(minus(had, wanted)) == 0 {
		return desired
	}
	return mergeStrings(wanted, had)
}

func orMesh(gateways []any) []any {
	if len(gateways) > 0 {
		return gateways
	}
	return []any{"mesh"}
}

// finishVirtualService adds the live routes of ports without a desired route: if one port of a host
// has a route, calls to a port without a route fail. All other routes are the desired ones.
func finishVirtualService(merged, desired, live map[string]any) map[string]any {
	protocols := []string{"http", "tcp", "tls"}
	routed := sets.New[string]()
	for _, protocol := range protocols {
		for _, route := range nested.List(desired, protocol) {
			routed.Insert(portsOf(route)...)
		}
	}
	for _, protocol := range protocols {
		setList(merged, protocol, mergeRoutes(nested.List(desired, protocol), nested.List(live, protocol), routed))
	}
	return merged
}

// mergeRoutes adds the live routes of unrouted ports, unless a desired route is for every port.
func mergeRoutes(desired, live []any, routed sets.Set[string]) []any {
	if slices.ContainsFunc(desired, func(route any) bool { return portsOf(route) == nil }) {
		return desired
	}
	merged := slices.Clone(desired)
	for _, route := range live {
		matches := slices.DeleteFunc(slices.Clone(nested.List(route, "match")), func(match any) bool {
			return nested.Map(match)["port"] == nil || routed.Has(PortNumber(match, "port"))
		})
		if len(matches) > 0 {
			kept := maps.Clone(nested.Map(route))
			kept["match"] = matches
			merged = append(merged, kept)
		}
	}
	// Routes of different ports have no order. Rendered routes are sorted by port, so a live object
	// that only has more of them stays equal.
	byPort := func(a, b any) int { return cmp.Compare(firstPort(a), firstPort(b)) }
	if len(merged) > len(desired) && slices.IsSortedFunc(desired, byPort) {
		slices.SortStableFunc(merged, byPort)
	}
	return merged
}

// portsOf returns the ports of a route, nil if the route is for every port.
func portsOf(route any) []string {
	var ports []string
	for _, match := range nested.List(route, "match") {
		if nested.Map(match)["port"] == nil {
			return nil
		}
		ports = append(ports, PortNumber(match, "port"))
	}
	return ports
}

func firstPort(route any) int64 {
	for _, match := range nested.List(route, "match") {
		port, _ := nested.Integer(nested.Map(match)["port"])
		return port
	}
	return 0
}
