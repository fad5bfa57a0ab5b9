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
	// exportSuffix and gatewayNamespace are defaults of the CUE module.
	exportSuffix     = "isthmus.internal"
	gatewayNamespace = "istio-system"
)

// check checks everything that any cluster calls. It does nothing after the first violation.
func (m *monitor) check(after string) {
	if !m.checking || len(m.violations) > 0 {
		return
	}
	for _, caller := range clusterNames {
		for _, key := range slices.SortedFunc(maps.Keys(m.clusters[caller].objects), byKey) {
			entry := m.clusters[caller].objects[key]
			if key.Kind != "ServiceEntry" || isPublished(entry) {
				continue
			}
			for _, missing := range m.missing(caller, entry) {
				m.violations = append(m.violations, fmt.Sprintf("after %s: %s calls %s", after, caller, missing))
			}
		}
	}
}

func byKey(a, b render.Key) int { return cmp.Compare(a.String(), b.String()) }

// missing describes the calls that a ServiceEntry, with the DestinationRule and the routes of its
// hosts, leads to and that are not offered there.
func (m *monitor) missing(caller string, entry *unstructured.Unstructured) (out []string) {
	for _, endpoint := range nestedMaps(entry, "spec", "endpoints") {
		for _, port := range nestedMaps(entry, "spec", "ports") {
			number := numberOf(port["number"])
			at := fmt.Sprint(endpoint["address"], " ", numberOf(fieldsOf(endpoint, "ports")[fmt.Sprint(port["name"])]))
			to, ok := m.gateways[at]
			if !ok {
				if fieldsOf(endpoint, "labels")["isthmus.dev/remote"] == "true" {
					out = append(out, fmt.Sprintf("%s port %d at %s, which is not a gateway", hostsOf(entry), number, at))
				}
				continue // a Kubernetes Service in the same cluster
			}
			for _, host := range hostsOf(entry) {
				for _, version := range m.clusters[caller].calledVersions(host, number, endpoint) {
					m.checkedCalls++
					if why := m.clusters[to.cluster].rejection(to, host+"."+exportSuffix, number, version); why != "" {
						out = append(out, fmt.Sprintf("%s port %d, version %q, at %s in %s, where %s", host, number, version, at, to.cluster, why))
					}
				}
			}
		}
	}
	return out
}

// calledVersions returns the versions that calls of a host and port request from an endpoint. It
// always contains "", any version: an endpoint is an endpoint of the whole host.
func (c *cluster) calledVersions(host string, port int64, endpoint map[string]any) []string {
	versions := []string{""}
	rule := c.ruleOf(host)
	if rule == nil {
		return versions
	}
	for _, subset := range nestedMaps(rule, "spec", "subsets") {
		name := fmt.Sprint(subset["name"])
		if !c.routedSubsets(host, port)[name] || !selects(fieldsOf(subset, "labels"), fieldsOf(endpoint, "labels")) {
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

// routedSubsets returns the subsets that calls of a host and port are routed or mirrored to.
func (c *cluster) routedSubsets(host string, port int64) map[string]bool {
	subsets := map[string]bool{}
	for key, object := range c.objects {
		if key.Kind != "VirtualService" || !slices.Contains(hostsOf(object), host) {
			continue
		}
		for _, kind := range []string{"http", "tcp", "tls"} {
			for _, route := range nestedMaps(object, "spec", kind) {
				matches := mapsOf(route, "match")
				if len(matches) > 0 && !slices.ContainsFunc(matches, func(m map[string]any) bool { return m["port"] == nil || numberOf(m["port"]) == port }) {
					continue
				}
				for _, to := range append(mapsOf(route, "route"), map[string]any{"destination": route["mirror"]}) {
					if subset, ok := fieldsOf(to, "destination")["subset"].(string); ok {
						subsets[subset] = true
					}
				}
			}
		}
	}
	return subsets
}

// sniOf returns the SNI of a subset for calls on a port.
func sniOf(subset map[string]any, port int64) string {
	policy := fieldsOf(subset, "trafficPolicy")
	for _, setting := range mapsOf(policy, "portLevelSettings") {
		if numberOf(fieldsOf(setting, "port")["number"]) == port {
			policy = setting
		}
	}
	name, _ := fieldsOf(policy, "tls")["sni"].(string)
	return name
}

// versionOf returns the version of an SNI outbound_.PORT_.VERSION_.HOST, "" for any version.
func versionOf(sni string) string {
	parts := strings.SplitN(sni, "_.", 4)
	if len(parts) < 4 || parts[2] == "_" {
		return ""
	}
	return parts[2]
}

// rejection explains why a gateway of this cluster rejects a call, "" if it accepts the call.
func (c *cluster) rejection(at gatewayTarget, exportHost string, port int64, version string) string {
	switch {
	case !c.listens(at, exportHost):
		return fmt.Sprintf("no Gateway accepts %s on %v", exportHost, slices.Sorted(maps.Keys(at.ports)))
	case !c.publishes(exportHost, port):
		return fmt.Sprintf("%s is not published with port %d", exportHost, port)
	case version != "" && !c.publishesVersion(exportHost, version):
		return fmt.Sprintf("%s has no version %s", exportHost, version)
	}
	return ""
}

func (c *cluster) listens(at gatewayTarget, exportHost string) bool {
	for key, object := range c.objects {
		if key.Kind != "Gateway" || key.Namespace != gatewayNamespace {
			continue
		}
		for _, server := range nestedMaps(object, "spec", "servers") {
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
		if key.Kind == "ServiceEntry" && isPublished(object) && slices.Contains(hostsOf(object), exportHost) && visibleToGateways(object) &&
			slices.ContainsFunc(nestedMaps(object, "spec", "ports"), func(p map[string]any) bool { return numberOf(p["number"]) == port }) {
			return true
		}
	}
	return false
}

func (c *cluster) publishesVersion(exportHost, version string) bool {
	rule := c.ruleOf(exportHost)
	return rule != nil && visibleToGateways(rule) &&
		slices.ContainsFunc(nestedMaps(rule, "spec", "subsets"), func(s map[string]any) bool { return s["name"] == version })
}

// visibleToGateways reports whether an object is exported to the namespace of the gateways.
func visibleToGateways(object *unstructured.Unstructured) bool {
	to, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "exportTo")
	return slices.Contains(to, gatewayNamespace) || slices.Contains(to, "*")
}

// selects reports whether a subset selects an endpoint with these labels.
func selects(selector, labels map[string]any) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// fieldsOf returns a nested object, nil if it does not exist.
func fieldsOf(value any, names ...string) map[string]any {
	fields, _ := value.(map[string]any)
	for _, name := range names {
		fields, _ = fields[name].(map[string]any)
	}
	return fields
}

// mapsOf returns the items of a list of objects.
func mapsOf(value map[string]any, name string) (out []map[string]any) {
	items, _ := value[name].([]any)
	for _, item := range items {
		out = append(out, fieldsOf(item))
	}
	return out
}

// nestedMaps returns the items of a list of objects at a path.
func nestedMaps(value any, path ...string) []map[string]any {
	var fields map[string]any
	switch v := value.(type) {
	case *unstructured.Unstructured:
		fields = v.Object
	case map[string]any:
		fields = v
	}
	last := len(path) - 1
	return mapsOf(fieldsOf(fields, path[:last]...), path[last])
}

// numberOf returns a number from decoded JSON.
func numberOf(value any) int64 {
	switch n := value.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}
