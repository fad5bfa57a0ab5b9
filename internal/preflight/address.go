package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// service has the external addresses and the ports of a Service.
type service struct {
	key   render.Key
	ips   []string
	names []string
	ports []string
}

// addresses compares the gateways of this cluster in the inventory with the Services in front of
// them. Its problems never block: only other clusters use the address, and another load balancer
// that no cluster knows may be in front of it (docs/decisions/0015).
//
// It compares IP addresses only: a host name of the platform may resolve to any address.
func addresses(bundle *render.Bundle, gateways, foreign []*unstructured.Unstructured) []Problem {
	services := inFront(gateways, foreign)
	if bundle.ControlPlane != bundle.Cluster || len(services) == 0 {
		return nil
	}
	var ips []string
	for _, s := range services {
		ips = append(ips, s.ips...)
		if len(s.names) > 0 {
			return nil
		}
	}
	var out []Problem
	for _, gateway := range bundle.Gateways {
		if _, err := netip.ParseAddr(gateway.Address); err != nil {
			continue
		}
		at := slices.IndexFunc(services, func(s service) bool { return slices.Contains(s.ips, gateway.Address) })
		port := fmt.Sprint(gateway.Port)
		switch {
		case at < 0:
			out = append(out, Problem{
				Reason: GatewayAddress, Resource: services[0].key,
				Message: fmt.Sprintf("the inventory has the gateway address %[2]s for cluster %[1]s, but %[3]s has %[4]s: other clusters call %[2]s; correct "+
					"clusters.%[1]s.gateways in the repository, unless another load balancer forwards this address",
					bundle.Cluster, gateway.Address, services[0].key, strings.Join(ips, ", ")),
			})
		case !slices.Contains(services[at].ports, port):
			out = append(out, Problem{
				Reason: GatewayAddress, Resource: services[at].key,
				Message: fmt.Sprintf("the inventory has the gateway address %[2]s, port %[3]s, for cluster %[1]s, but %[4]s has the ports %[5]s; correct "+
					"clusters.%[1]s.gateways in the repository, or add the port to the Service",
					bundle.Cluster, gateway.Address, port, services[at].key, strings.Join(services[at].ports, ", ")),
			})
		}
	}
	return out
}

// inFront returns the Services with an external address for the workloads of our Gateways.
func inFront(gateways, foreign []*unstructured.Unstructured) []service {
	var out []service
	for _, object := range foreign {
		labels, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector")
		isInFront := slices.ContainsFunc(gateways, func(gateway *unstructured.Unstructured) bool {
			return gateway.GetNamespace() == object.GetNamespace() && len(labels) > 0 && sameWorkload(selector(gateway), labels)
		})
		if object.GetKind() != "Service" || !isInFront {
			continue
		}
		if s := serviceOf(object); len(s.ips)+len(s.names) > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b service) int { return strings.Compare(a.key.String(), b.key.String()) })
	return out
}

func serviceOf(object *unstructured.Unstructured) service {
	s := service{key: keyOf(object)}
	s.ips, _, _ = unstructured.NestedStringSlice(object.Object, "spec", "externalIPs")
	ingress, _, _ := unstructured.NestedSlice(object.Object, "status", "loadBalancer", "ingress")
	for _, item := range ingress {
		fields, _ := item.(map[string]any)
		if ip, _ := fields["ip"].(string); ip != "" {
			s.ips = append(s.ips, ip)
		}
		if name, _ := fields["hostname"].(string); name != "" {
			s.names = append(s.names, name)
		}
	}
	ports, _, _ := unstructured.NestedSlice(object.Object, "spec", "ports")
	for _, item := range ports {
		fields, _ := item.(map[string]any)
		s.ports = append(s.ports, number(fields["port"]))
	}
	return s
}
