package order_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

const (
	// exportSuffix and gatewayNamespace are the module's defaults.
	exportSuffix     = "isthmus.internal"
	gatewayNamespace = "istio-system"
)

// judge looks at everything that any cluster calls, and at what it finds there. Once something is wrong, that is the answer.
func (w *world) judge(after string) {
	if !w.judging || len(w.wrong) > 0 {
		return
	}
	for _, caller := range clusterNames {
		for _, key := range slices.SortedFunc(maps.Keys(w.clusters[caller].objects), byKey) {
			entry := w.clusters[caller].objects[key]
			if key.Kind != "ServiceEntry" || isPublished(entry) {
				continue
			}
			for _, missing := range w.missing(caller, entry) {
				w.wrong = append(w.wrong, fmt.Sprintf("after %s: %s calls %s", after, caller, missing))
			}
		}
	}
}

func byKey(a, b render.Key) int { return cmp.Compare(a.String(), b.String()) }

// missing is what an entry, with the rule and the routes of its hosts, leads to and is not offered there.
func (w *world) missing(caller string, entry *unstructured.Unstructured) (out []string) {
	for _, endpoint := range objectsOf(entry, "spec", "endpoints") {
		for _, port := range objectsOf(entry, "spec", "ports") {
			number := numberOf(port["number"])
			at := fmt.Sprint(endpoint["address"], " ", numberOf(fieldsOf(endpoint, "ports")[fmt.Sprint(port["name"])]))
			to, ok := w.gateways[at]
			if !ok {
				if fieldsOf(endpoint, "labels")["isthmus.dev/remote"] == "true" {
					out = append(out, fmt.Sprintf("%s port %d at %s, which is no gateway", hostsOf(entry), number, at))
				}
				continue // a Kubernetes Service of its own
			}
			for _, host := range hostsOf(entry) {
				for _, version := range w.clusters[caller].asked(host, number, endpoint) {
					w.pairs++
					if why := w.clusters[to.cluster].refuses(to, host+"."+exportSuffix, number, version); why != "" {
						out = append(out, fmt.Sprintf("%s port %d, version %q, at %s in %s, where %s", host, number, version, at, to.cluster, why))
					}
				}
			}
		}
	}
	return out
}

// asked are the versions of a host that calls on a port ask an endpoint for, "" for any. Any is always among them: an endpoint
// is an endpoint of the whole host.
func (c *cluster) asked(host string, port int64, endpoint map[string]any) []string {
	versions := []string{""}
	rule := c.ruleOf(host)
	if rule == nil {
		return versions
	}
	for _, subset := range objectsOf(rule, "spec", "subsets") {
		name := fmt.Sprint(subset["name"])
		if !c.routed(host, port)[name] || !selects(fieldsOf(subset, "labels"), fieldsOf(endpoint, "labels")) {
			continue
		}
		if version := versionOf(sniOf(subset, port)); version != "" && !slices.Contains(versions, version) {
			versions = append(versions, version)
		}
	}
	return versions
}

func (c *cluster) ruleOf(host string) *unstructured.Unstructured {
	for key, object := range c.objects {
		if key.Kind == "DestinationRule" && fieldsOf(object.Object, "spec")["host"] == host {
			return object
		}
	}
	return nil
}

// routed are the subsets that calls of a host are routed to on a port, or copied to.
func (c *cluster) routed(host string, port int64) map[string]bool {
	subsets := map[string]bool{}
	for key, object := range c.objects {
		if key.Kind != "VirtualService" || !slices.Contains(hostsOf(object), host) {
			continue
		}
		for _, kind := range []string{"http", "tcp", "tls"} {
			for _, route := range objectsOf(object, "spec", kind) {
				matches := listOf(route, "match")
				if len(matches) > 0 && !slices.ContainsFunc(matches, func(m map[string]any) bool { return m["port"] == nil || numberOf(m["port"]) == port }) {
					continue
				}
				for _, to := range append(listOf(route, "route"), map[string]any{"destination": route["mirror"]}) {
					if subset, ok := fieldsOf(to, "destination")["subset"].(string); ok {
						subsets[subset] = true
					}
				}
			}
		}
	}
	return subsets
}

// sniOf is what a gateway is asked for on a port.
func sniOf(subset map[string]any, port int64) string {
	policy := fieldsOf(subset, "trafficPolicy")
	for _, setting := range listOf(policy, "portLevelSettings") {
		if numberOf(fieldsOf(setting, "port")["number"]) == port {
			policy = setting
		}
	}
	name, _ := fieldsOf(policy, "tls")["sni"].(string)
	return name
}

// versionOf is the version in the name that a gateway is asked for, outbound_.PORT_.VERSION_.HOST, "" if it is any.
func versionOf(sni string) string {
	parts := strings.SplitN(sni, "_.", 4)
	if len(parts) < 4 || parts[2] == "_" {
		return ""
	}
	return parts[2]
}

// refuses tells why a call that comes in at a gateway of this cluster is not answered, "" if it is.
func (c *cluster) refuses(at behind, exportHost string, port int64, version string) string {
	switch {
	case !c.listens(at, exportHost):
		return fmt.Sprintf("no Gateway lets %s in on %v", exportHost, slices.Sorted(maps.Keys(at.ports)))
	case !c.publishes(exportHost, port):
		return fmt.Sprintf("nobody publishes %s with port %d", exportHost, port)
	case version != "" && !c.publishesVersion(exportHost, version):
		return fmt.Sprintf("%s has no version %s", exportHost, version)
	}
	return ""
}

func (c *cluster) listens(at behind, exportHost string) bool {
	for key, object := range c.objects {
		if key.Kind != "Gateway" || key.Namespace != gatewayNamespace {
			continue
		}
		for _, server := range objectsOf(object, "spec", "servers") {
			passes := fieldsOf(server, "tls")["mode"] == "AUTO_PASSTHROUGH" && at.ports[int(numberOf(fieldsOf(server, "port")["number"]))]
			hosts, _, _ := unstructured.NestedStringSlice(server, "hosts")
			if passes && slices.ContainsFunc(hosts, func(h string) bool {
				return h == exportHost || strings.HasSuffix(exportHost, strings.TrimPrefix(h, "*"))
			}) {
				return true
			}
		}
	}
	return false
}

func (c *cluster) publishes(exportHost string, port int64) bool {
	for key, object := range c.objects {
		if key.Kind == "ServiceEntry" && isPublished(object) && slices.Contains(hostsOf(object), exportHost) && forGateways(object) &&
			slices.ContainsFunc(objectsOf(object, "spec", "ports"), func(p map[string]any) bool { return numberOf(p["number"]) == port }) {
			return true
		}
	}
	return false
}

func (c *cluster) publishesVersion(exportHost, version string) bool {
	rule := c.ruleOf(exportHost)
	return rule != nil && forGateways(rule) &&
		slices.ContainsFunc(objectsOf(rule, "spec", "subsets"), func(s map[string]any) bool { return s["name"] == version })
}

// forGateways tells whether gateways see an object.
func forGateways(object *unstructured.Unstructured) bool {
	to, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "exportTo")
	return slices.Contains(to, gatewayNamespace) || slices.Contains(to, "*")
}

// selects tells whether an endpoint with these labels is in a subset.
func selects(few, labels map[string]any) bool {
	for name, value := range few {
		if labels[name] != value {
			return false
		}
	}
	return true
}

func fieldsOf(value any, names ...string) map[string]any {
	fields, _ := value.(map[string]any)
	for _, name := range names {
		fields, _ = fields[name].(map[string]any)
	}
	return fields
}

func listOf(value map[string]any, name string) (out []map[string]any) {
	items, _ := value[name].([]any)
	for _, item := range items {
		out = append(out, fieldsOf(item))
	}
	return out
}

func objectsOf(value any, path ...string) []map[string]any {
	var fields map[string]any
	switch v := value.(type) {
	case *unstructured.Unstructured:
		fields = v.Object
	case map[string]any:
		fields = v
	}
	last := len(path) - 1
	return listOf(fieldsOf(fields, path[:last]...), path[last])
}

// numberOf is a port as JSON has it.
func numberOf(value any) int64 {
	switch n := value.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}
