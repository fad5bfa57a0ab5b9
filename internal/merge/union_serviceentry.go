package merge

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// labelRemote is "true" on endpoints that are addresses of another cluster.
const labelRemote = "isthmus.dev/remote"

// way is how a ServiceEntry leads to endpoints. One entry has one way only.
type way int

const (
	nowhere  way = iota // none, or a selector that no pod has
	byItself            // its hosts, or the address that was called, are the endpoints
	Selected            // pods, by their labels
	listed              // a list of them
)

func WayOf(entry map[string]any) way {
	switch {
	case len(nested.List(entry, "endpoints")) > 0:
		return listed
	case SelectsNothing(entry):
		return nowhere
	case nested.Map(entry, "workloadSelector") != nil:
		return Selected
	case entry["location"] == "MESH_INTERNAL", entry["resolution"] == "STATIC":
		return nowhere
	default:
		return byItself
	}
}

func SelectsNothing(entry map[string]any) bool {
	_, none := nested.Map(entry, "workloadSelector", "labels")[render.LabelNoEndpoint]
	return none
}

// labelNoEndpoint lets the label of a ServiceEntry say what its selector does.
func labelNoEndpoint(entry *unstructured.Unstructured) {
	labels := map[string]string{render.LabelNoEndpoint: "true"}
	if !SelectsNothing(nested.Map(entry.Object, "spec")) {
		labels = nil
	}
	entry.SetLabels(overlay(entry.GetLabels(), sets.New(render.LabelNoEndpoint), labels))
}

// uniteServiceEntries keeps the live endpoints beside the desired ones if both are listed, and alone where they cannot
// stand side by side; what cannot be united even so stays as it is.
func uniteServiceEntries(namespace string, desired, live map[string]any) map[string]any {
	out := maps.Clone(desired)
	for _, list := range []string{"hosts", "addresses", "subjectAltNames"} {
		Set(out, list, uniteStrings(nested.List(desired, list), nested.List(live, list)))
	}
	Set(out, "exportTo", uniteExports(namespace, nested.List(desired, "exportTo"), nested.List(live, "exportTo")))

	united := withBothEndpoints(out, desired, live)
	if Same(united, desired) || united != nil && accepted(united) {
		return united
	}
	if kept := withLiveEndpoints(out, desired, live); accepted(kept) {
		return kept
	}
	return live
}

// withBothEndpoints gives the entry the desired endpoints, and the live ones as far as they differ; nil if they cannot stand together.
func withBothEndpoints(entry, desired, live map[string]any) map[string]any {
	from, to := WayOf(live), WayOf(desired)
	if from != nowhere && from != to {
		return nil
	}
	if from == Selected && !within(nested.Map(desired, "workloadSelector", "labels"), nested.Map(live, "workloadSelector", "labels")) {
		return nil
	}
	out := maps.Clone(entry)
	Set(out, "ports", unitePorts("number", nested.List(desired, "ports"), nested.List(live, "ports")))
	if to == listed {
		out["endpoints"] = uniteEndpoints(nested.List(out, "ports"), desired, live)
	}
	if resolution := resolutionOf(out, desired, live); from != nowhere && resolution != nil {
		out["resolution"] = resolution
	}
	return out
}

// withLiveEndpoints leaves to the entry what it has, and adds the ports that it has not.
func withLiveEndpoints(entry, desired, live map[string]any) map[string]any {
	out := maps.Clone(entry)
	restore(out, live, "endpoints", "workloadSelector", "resolution", "location")
	// What a live port says of the pods' port belongs to the live endpoints.
	Set(out, "ports", unitePorts("number", nested.List(live, "ports"), nested.List(desired, "ports")))
	// Entries of one host have to agree, and DNS takes pods and addresses as well.
	if live["resolution"] == "STATIC" && hasPrefix(desired["resolution"], "DNS") && WayOf(desired) != nowhere {
		out["resolution"] = "DNS"
	}
	return out
}

// resolutionOf is how the endpoints of both are looked up: DNS takes addresses as well, STATIC no names, and DNS_ROUND_ROBIN no second one.
func resolutionOf(united, desired, live map[string]any) any {
	resolution := desired["resolution"]
	if had := live["resolution"]; resolution == "STATIC" && (had == "DNS" || had == "DNS_ROUND_ROBIN") {
		resolution = had
	}
	if resolution == "DNS_ROUND_ROBIN" && len(nested.List(united, "endpoints")) > 1 {
		return "DNS"
	}
	return resolution
}

// uniteEndpoints unites endpoints by address, labels and ports. Both say ports by the names that they have in the united entry, and gain
// those that only the other side knew: without one a gateway would be called on the number of the port.
func uniteEndpoints(ports []any, desired, live map[string]any) []any {
	absent := func(entry map[string]any) []string {
		var names []string
		for _, port := range ports {
			n := Number(nested.Map(port), "number")
			if !slices.ContainsFunc(nested.List(entry, "ports"), func(known any) bool { return Number(nested.Map(known), "number") == n }) {
				names = append(names, fmt.Sprint(nested.Map(port)["name"]))
			}
		}
		return names
	}

	var had, wanted, kept []any
	for _, endpoint := range nested.List(live, "endpoints") {
		had = append(had, withNames(nested.Map(endpoint), nested.List(live, "ports"), ports))
	}
	for _, endpoint := range nested.List(desired, "endpoints") {
		wanted = append(wanted, withPorts(nested.Map(endpoint), absent(desired), had))
	}
	for _, endpoint := range had {
		kept = append(kept, withPorts(nested.Map(endpoint), absent(live), nested.List(desired, "endpoints")))
	}
	return merging{key: func(endpoint map[string]any) string {
		return place(endpoint) + said(endpoint, "ports")
	}}.of(wanted, kept)
}

// place is where an endpoint is and what it stands for, whatever its ports.
func place(endpoint map[string]any) string {
	at := endpoint["address"]
	if at == nil {
		at = endpoint["network"]
	}
	return nested.JSON(at) + said(endpoint, "labels")
}

// said is an object in an object, the same whether it is empty or absent.
func said(endpoint map[string]any, name string) string {
	if fields := nested.Map(endpoint, name); len(fields) > 0 {
		return nested.JSON(fields)
	}
	return ""
}

// withNames gives the ports of an endpoint the names that the united ports of that number have, and keeps where they lead.
func withNames(endpoint map[string]any, was, united []any) map[string]any {
	own := nested.Map(endpoint, "ports")
	mapped := map[string]any{}
	for _, port := range was {
		at := slices.IndexFunc(united, func(other any) bool { return Number(nested.Map(other), "number") == Number(nested.Map(port), "number") })
		name, _ := nested.Map(united[at])["name"].(string)
		before, _ := nested.Map(port)["name"].(string)
		if behind, ok := own[before]; ok {
			mapped[name] = behind
		} else if !Same(targetOf(port), targetOf(united[at])) && !hasPrefix(endpoint["address"], "unix:") {
			mapped[name] = targetOf(port)
		}
	}
	out := maps.Clone(endpoint)
	delete(out, "ports")
	if len(mapped) > 0 {
		out["ports"] = mapped
	}
	return out
}

// targetOf is the port of endpoints that say none.
func targetOf(port any) any {
	if target := nested.Map(port)["targetPort"]; target != nil {
		return target
	}
	return nested.Map(port)["number"]
}

// withPorts maps more ports of an endpoint: as the same one of the other side does, or to where a gateway has all the others.
func withPorts(endpoint map[string]any, names []string, others []any) map[string]any {
	own := nested.Map(endpoint, "ports")
	behind := gatewayPort(endpoint)
	at := slices.IndexFunc(others, func(other any) bool { return place(nested.Map(other)) == place(endpoint) })
	mapped := map[string]any{}
	for _, name := range names {
		_, known := own[name]
		switch {
		case known:
		case at >= 0:
			if port, ok := nested.Map(others[at], "ports")[name]; ok {
				mapped[name] = port
			}
		case behind != nil:
			mapped[name] = behind
		}
	}
	if len(mapped) == 0 {
		return endpoint
	}
	maps.Copy(mapped, own)
	out := maps.Clone(endpoint)
	out["ports"] = mapped
	return out
}

// gatewayPort is the one port of a gateway, nil of anything else.
func gatewayPort(endpoint map[string]any) any {
	if nested.Map(endpoint, "labels")[labelRemote] != "true" {
		return nil
	}
	var one any
	for _, port := range nested.Map(endpoint, "ports") {
		if one != nil && !Same(one, port) {
			return nil
		}
		one = port
	}
	return one
}

// accepted reports whether an API server takes a united ServiceEntry, as far as either half could be accepted and both together not: the rules of the
// CRD, and those of istiod's webhook.
func accepted(entry map[string]any) bool {
	hosts, addresses, endpoints, ports := nested.List(entry, "hosts"), nested.List(entry, "addresses"), nested.List(entry, "endpoints"), nested.List(entry, "ports")
	if max(len(hosts), len(addresses), len(ports)) > 256 || len(endpoints) > 4096 {
		return false
	}
	wildcards := len(slices.DeleteFunc(slices.Clone(hosts), func(host any) bool { return !hasPrefix(host, "*") }))
	networks := slices.ContainsFunc(addresses, func(address any) bool {
		text, _ := address.(string)
		return strings.Contains(text, "/")
	})
	// Without names in the protocol nobody knows which of several hosts is called.
	if len(hosts) > 1 && entry["resolution"] != nil && entry["resolution"] != "NONE" && slices.ContainsFunc(ports, isPlain) {
		return false
	}
	switch entry["resolution"] {
	case "STATIC":
		return !slices.ContainsFunc(endpoints, func(endpoint any) bool {
			address, _ := nested.Map(endpoint)["address"].(string)
			if strings.HasPrefix(address, "unix:") {
				return len(ports) != 1
			}
			_, err := netip.ParseAddr(address)
			return err != nil && address != ""
		})
	case "DNS", "DNS_ROUND_ROBIN":
		if entry["resolution"] == "DNS_ROUND_ROBIN" && len(endpoints) > 1 || len(endpoints) == 0 && wildcards > 0 {
			return false
		}
		return !networks && !slices.ContainsFunc(endpoints, func(endpoint any) bool { return hasPrefix(nested.Map(endpoint)["address"], "unix:") })
	case "DYNAMIC_DNS":
		return wildcards == len(hosts) && len(addresses) == 0 && len(endpoints) == 0 && !slices.ContainsFunc(ports, isPlain)
	default:
		return len(endpoints) == 0
	}
}

func isPlain(port any) bool {
	protocol, _ := nested.Map(port)["protocol"].(string)
	return !slices.Contains([]string{"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS"}, strings.ToUpper(protocol))
}

func hasPrefix(value any, prefix string) bool {
	text, _ := value.(string)
	return strings.HasPrefix(text, prefix)
}
