package merge

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"k8s.io/apimachinery/pkg/util/sets"
)

// uniteDestinationRules keeps subsets, and of policies what leads through gateways.
func uniteDestinationRules(namespace string, desired, live map[string]any) map[string]any {
	// It is for the callers that it selects, if it selects any.
	if !within(nested.Map(desired, "workloadSelector", "matchLabels"), nested.Map(live, "workloadSelector", "matchLabels")) {
		return live
	}
	out := maps.Clone(desired)
	Set(out, "exportTo", uniteExports(namespace, nested.List(desired, "exportTo"), nested.List(live, "exportTo")))
	Set(out, "subsets", merging{
		key:  func(subset map[string]any) string { return nested.JSON(subset["name"]) },
		join: keepTunnels,
	}.of(nested.List(desired, "subsets"), nested.List(live, "subsets")))
	return keepTunnels(out, live)
}

// keepTunnels keeps, in the trafficPolicy of a rule or of a subset, what the gateways that are kept are asked for: each port has a name of
// its own there, and without one a call is refused.
func keepTunnels(desired, live map[string]any) map[string]any {
	wanted, had := nested.Map(desired, "trafficPolicy"), nested.Map(live, "trafficPolicy")
	if sni(had) == "" && len(tunnels(had)) == 0 {
		return desired
	}
	policy := maps.Clone(wanted)
	if policy == nil {
		policy = map[string]any{}
	}
	settings := tunnels(had)
	switch {
	case wanted["tls"] == nil:
		for name, value := range had {
			if _, ok := policy[name]; !ok && name != "portLevelSettings" {
				policy[name] = value
			}
		}
	case portOf(sni(had)) != "" && portOf(sni(had)) != portOf(sni(wanted)):
		settings = append(settings, settingOf(had))
	}
	settings = slices.DeleteFunc(settings, func(setting any) bool {
		return Number(nested.Map(setting, "port"), "number") == portOf(sni(policy))
	})
	Set(policy, "portLevelSettings", merging{
		key: func(setting map[string]any) string { return Number(nested.Map(setting, "port"), "number") },
	}.of(nested.List(wanted, "portLevelSettings"), settings))
	out := maps.Clone(desired)
	out["trafficPolicy"] = policy
	return out
}

// tunnels are the settings of single ports that ask gateways for something.
func tunnels(policy map[string]any) []any {
	return slices.DeleteFunc(slices.Clone(nested.List(policy, "portLevelSettings")), func(setting any) bool { return sni(nested.Map(setting)) == "" })
}

// settingOf is a policy as the setting of the one port whose name at gateways it has.
func settingOf(policy map[string]any) map[string]any {
	out := map[string]any{}
	restore(out, policy, "loadBalancer", "connectionPool", "outlierDetection", "tls")
	if n, err := strconv.ParseInt(portOf(sni(policy)), 10, 64); err == nil {
		out["port"] = map[string]any{"number": n}
	}
	return out
}

func sni(policy map[string]any) string {
	name, _ := nested.Map(policy, "tls")["sni"].(string)
	return name
}

var tunnelName = regexp.MustCompile(`^outbound_\.([0-9]+)_\.`)

// portOf is the port in the name that gateways know, "" of any other name.
func portOf(sni string) string {
	if match := tunnelName.FindStringSubmatch(sni); match != nil {
		return match[1]
	}
	return ""
}

// uniteVirtualServices keeps the routes of ports that have none any more: where some port of a host is routed, another without a route is not
// reached. All other routes are the desired ones.
func uniteVirtualServices(namespace string, desired, live map[string]any) map[string]any {
	out := maps.Clone(desired)
	Set(out, "hosts", uniteStrings(nested.List(desired, "hosts"), nested.List(live, "hosts")))
	Set(out, "exportTo", uniteExports(namespace, nested.List(desired, "exportTo"), nested.List(live, "exportTo")))
	if wanted, had := gatewaysOf(desired), gatewaysOf(live); !Same(uniteStrings(wanted, had), wanted) {
		out["gateways"] = uniteStrings(wanted, had)
	}

	kinds := []string{"http", "tcp", "tls"}
	routed := sets.New[string]()
	for _, kind := range kinds {
		for _, route := range nested.List(desired, kind) {
			routed.Insert(portsOf(route)...)
		}
	}
	for _, kind := range kinds {
		Set(out, kind, uniteRoutes(nested.List(desired, kind), nested.List(live, kind), routed))
	}
	return out
}

// gatewaysOf are those that a VirtualService is for; without any it is for the proxies of the mesh.
func gatewaysOf(spec map[string]any) []any {
	if gateways := nested.List(spec, "gateways"); len(gateways) > 0 {
		return gateways
	}
	return []any{"mesh"}
}

// uniteRoutes adds the live routes of ports that are not routed, unless some desired route is for every port.
func uniteRoutes(desired, live []any, routed sets.Set[string]) []any {
	if slices.ContainsFunc(desired, func(route any) bool { return portsOf(route) == nil }) {
		return desired
	}
	united := slices.Clone(desired)
	for _, route := range live {
		matches := slices.DeleteFunc(slices.Clone(nested.List(route, "match")), func(match any) bool {
			port := Number(nested.Map(match), "port")
			return nested.Map(match)["port"] == nil || routed.Has(port)
		})
		if len(matches) > 0 {
			kept := maps.Clone(nested.Map(route))
			kept["match"] = matches
			united = append(united, kept)
		}
	}
	// The order among ports means nothing, and is that in which routes are made: so nothing changes if nothing is lost but them.
	byPort := func(a, b any) int { return cmp.Compare(firstPort(a), firstPort(b)) }
	if len(united) > len(desired) && slices.IsSortedFunc(desired, byPort) {
		slices.SortStableFunc(united, byPort)
	}
	return united
}

// portsOf are the ports that a route is for, nil if it is for every one.
func portsOf(route any) []string {
	var ports []string
	for _, match := range nested.List(route, "match") {
		if nested.Map(match)["port"] == nil {
			return nil
		}
		ports = append(ports, Number(nested.Map(match), "port"))
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
