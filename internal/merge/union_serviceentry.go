package merge

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// labelRemote is "true" on endpoints that are gateways of another cluster.
const labelRemote = "isthmus.dev/remote"

// labelNoEndpoint gives a ServiceEntry the label that goes with a selector that no pod matches.
func labelNoEndpoint(entry, _ *unstructured.Unstructured) {
	entry.SetLabels(setMark(entry.GetLabels(), render.LabelNoEndpoint, selectsNothing(nested.Map(entry.Object, "spec"))))
}

// finishServiceEntry merges endpoints and ports. If desired and live endpoints exclude each other,
// the live endpoints stay alone.
func finishServiceEntry(merged, desired, live map[string]any) map[string]any {
	both := withBothEndpoints(merged, desired, live)
	if both != nil && (Same(both, desired) || accepted(both)) {
		return both
	}
	if kept := withLiveEndpoints(merged, desired, live); accepted(kept) {
		return kept
	}
	return nil
}

// withBothEndpoints gives the entry the desired and the live endpoints; it returns nil if they
// exclude each other.
func withBothEndpoints(entry, desired, live map[string]any) map[string]any {
	from, to := endpointSourceOf(live), endpointSourceOf(desired)
	if from != fromNothing && from != to {
		return nil
	}
	if from == fromPods && !selectsAllOf(nested.Map(desired, "workloadSelector", "labels"), nested.Map(live, "workloadSelector", "labels")) {
		return nil
	}
	out := maps.Clone(entry)
	setList(out, "ports", mergePortsBy("number")(nested.List(desired, "ports"), nested.List(live, "ports")))
	if to == fromList {
		out["endpoints"] = mergeEndpoints(nested.List(out, "ports"), desired, live)
	}
	if resolution := resolutionOf(out, desired, live); from != fromNothing && resolution != nil {
		out["resolution"] = resolution
	}
	return out
}

// withLiveEndpoints gives the entry the live endpoints only, and all ports.
func withLiveEndpoints(entry, desired, live map[string]any) map[string]any {
	out := maps.Clone(entry)
	copyFields(out, live, "endpoints", "workloadSelector", "resolution", "location")
	// The live ports win, because their targetPort belongs to the live endpoints.
	setList(out, "ports", mergePortsBy("number")(nested.List(live, "ports"), nested.List(desired, "ports")))
	// All entries of a host must have one resolution, and DNS takes pods and addresses as well.
	if live["resolution"] == "STATIC" && hasPrefix(desired["resolution"], "DNS") && endpointSourceOf(desired) != fromNothing {
		out["resolution"] = "DNS"
	}
	return out
}

// resolutionOf returns a resolution that takes the endpoints of both entries: DNS takes addresses
// as well, STATIC takes no names, and DNS_ROUND_ROBIN takes one endpoint only.
func resolutionOf(merged, desired, live map[string]any) any {
	resolution := desired["resolution"]
	if had := live["resolution"]; resolution == "STATIC" && (had == "DNS" || had == "DNS_ROUND_ROBIN") {
		resolution = had
	}
	if resolution == "DNS_ROUND_ROBIN" && len(nested.List(merged, "endpoints")) > 1 {
		return "DNS"
	}
	return resolution
}

// mergeEndpoints merges endpoints by address, labels and ports.
func mergeEndpoints(ports []any, desired, live map[string]any) []any {
	var wanted, had []any
	for _, endpoint := range nested.List(desired, "endpoints") {
		wanted = append(wanted, withPorts(nested.Map(endpoint), ports, desired, live))
	}
	for _, endpoint := range nested.List(live, "endpoints") {
		had = append(had, withPorts(nested.Map(endpoint), ports, live, desired))
	}
	return keyedList{key: func(endpoint map[string]any) string {
		return endpointIdentity(endpoint) + textUnlessEmpty(endpoint, "ports")
	}}.merge(wanted, had)
}

// withPorts returns an endpoint of one entry with the ports of the merged entry, under the names
// that they have there. The target of a port that only the other entry has is that of the same
// endpoint there, or the port of the gateway: without a target, calls go to the number of the port.
func withPorts(endpoint map[string]any, ports []any, entry, other map[string]any) map[string]any {
	// A name that no port of the entry has is not valid, and stays.
	targets := map[string]any{}
	maps.Copy(targets, nested.Map(endpoint, "ports"))
	maps.DeleteFunc(targets, func(name string, _ any) bool {
		return someItem(nested.List(entry, "ports"), func(port map[string]any) bool { return port["name"] == name })
	})
	var missing []any
	for _, port := range ports {
		own := portLike(port, entry)
		target := targetOf(endpoint, own)
		switch {
		case own == nil:
			missing = append(missing, port)
		case target != nil:
			targets[nameOf(port)] = target
		case !Same(defaultTarget(own), defaultTarget(port)) && !isSocket(endpoint):
			targets[nameOf(port)] = defaultTarget(own)
		}
	}
	gateway := gatewayPort(endpoint, targets)
	twin := find(nested.List(other, "endpoints"), func(twin map[string]any) bool {
		return endpointIdentity(twin) == endpointIdentity(endpoint)
	})
	for _, port := range missing {
		target := gateway
		if twin != nil {
			target = targetOf(twin, portLike(port, other))
		}
		if target != nil {
			targets[nameOf(port)] = target
		}
	}
	if Same(targets, nested.Map(endpoint, "ports")) {
		return endpoint
	}
	out := maps.Clone(endpoint)
	out["ports"] = targets
	return out
}

// portLike returns the port of an entry that has the same number; nil if there is none.
func portLike(port any, entry map[string]any) map[string]any {
	return find(nested.List(entry, "ports"), func(other map[string]any) bool {
		return PortNumber(other, "number") == PortNumber(port, "number")
	})
}

// targetOf returns the target of a port that an endpoint names; nil if it names none.
func targetOf(endpoint, port any) any { return nested.Map(endpoint, "ports")[nameOf(port)] }

// defaultTarget is the target of a port that an endpoint does not name.
func defaultTarget(port any) any {
	if target := nested.Map(port)["targetPort"]; target != nil {
		return target
	}
	return nested.Map(port)["number"]
}

func nameOf(port any) string {
	name, _ := nested.Map(port)["name"].(string)
	return name
}

// gatewayPort is the one target of a gateway of another cluster; nil for other endpoints.
func gatewayPort(endpoint, targets map[string]any) any {
	if nested.Map(endpoint, "labels")[labelRemote] != "true" {
		return nil
	}
	var one any
	for _, target := range targets {
		if one != nil && !Same(one, target) {
			return nil
		}
		one = target
	}
	return one
}

// endpointIdentity is the address and the labels of an endpoint.
func endpointIdentity(endpoint any) string {
	address := nested.Map(endpoint)["address"]
	if address == nil {
		address = nested.Map(endpoint)["network"]
	}
	return nested.JSON(address) + textUnlessEmpty(endpoint, "labels")
}

// textUnlessEmpty is the same for an empty and an absent object.
func textUnlessEmpty(endpoint any, name string) string {
	if fields := nested.Map(endpoint, name); len(fields) > 0 {
		return nested.JSON(fields)
	}
	return ""
}

// accepted reports whether an API server accepts a merged ServiceEntry. It checks the rules of the
// CRD and of istiod's webhook that two accepted entries can break together.
func accepted(entry map[string]any) bool {
	hosts, addresses := nested.List(entry, "hosts"), nested.List(entry, "addresses")
	endpoints, ports := nested.List(entry, "endpoints"), nested.List(entry, "ports")
	if max(len(hosts), len(addresses), len(ports)) > 256 || len(endpoints) > 4096 {
		return false
	}
	isWildcard := func(host any) bool { return hasPrefix(host, "*") }
	isNetwork := func(address any) bool { return strings.Contains(fmt.Sprint(address), "/") }
	plain := someItem(ports, isPlain)
	resolution, _ := entry["resolution"].(string)
	// Without a host name in the protocol, Istio cannot tell several hosts apart.
	if len(hosts) > 1 && plain && resolution != "" && resolution != "NONE" {
		return false
	}
	switch resolution {
	case "STATIC":
		return !someItem(endpoints, func(endpoint map[string]any) bool {
			if isSocket(endpoint) {
				return len(ports) != 1
			}
			address, _ := endpoint["address"].(string)
			_, err := netip.ParseAddr(address)
			return err != nil && address != ""
		})
	case "DNS", "DNS_ROUND_ROBIN":
		tooMany := resolution == "DNS_ROUND_ROBIN" && len(endpoints) > 1
		unknown := len(endpoints) == 0 && slices.ContainsFunc(hosts, isWildcard)
		return !tooMany && !unknown && !slices.ContainsFunc(addresses, isNetwork) && !someItem(endpoints, isSocket)
	case "DYNAMIC_DNS":
		allWildcards := !slices.ContainsFunc(hosts, func(host any) bool { return !isWildcard(host) })
		return allWildcards && len(addresses) == 0 && len(endpoints) == 0 && !plain
	default:
		return len(endpoints) == 0
	}
}

// isPlain reports whether the protocol of a port has no host name in its requests.
func isPlain(port map[string]any) bool {
	protocol, _ := port["protocol"].(string)
	return !slices.Contains([]string{"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS"}, strings.ToUpper(protocol))
}

func isSocket(endpoint map[string]any) bool { return hasPrefix(endpoint["address"], "unix:") }
