package trace

import (
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// Clusters are the sorted names of the outbound Envoy clusters of a pod's proxy. The pod may be
// "public".
func (m *Mesh) Clusters(cluster, pod string) []string {
	p := m.pod(cluster, pod)
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(p.proxy().clusterNames(), func(name string) bool { return !strings.HasPrefix(name, "outbound") })
}

// EnvoyCluster is the Envoy cluster of a pod's proxy for a destination, nil if there is none.
// subset is "" for none.
func (m *Mesh) EnvoyCluster(cluster, pod, host string, port int, subset string) *clusterv3.Cluster {
	p := m.pod(cluster, pod)
	if p == nil {
		return nil
	}
	return p.proxy().clusters[fmt.Sprintf("outbound|%d|%s|%s", port, subset, host)]
}

// Endpoints is the load assignment of [Mesh.EnvoyCluster], nil if there is none.
func (m *Mesh) Endpoints(cluster, pod, host string, port int, subset string) *endpointv3.ClusterLoadAssignment {
	c := m.EnvoyCluster(cluster, pod, host, port, subset)
	if c == nil {
		return nil
	}
	return m.pod(cluster, pod).proxy().loadAssignment(c)
}

// Listeners of a pod's proxy, nil for an unknown pod.
func (m *Mesh) Listeners(cluster, pod string) []*listenerv3.Listener {
	if p := m.pod(cluster, pod); p != nil {
		return p.proxy().listeners
	}
	return nil
}

// Routes are the route configurations of a pod's proxy by name, nil for an unknown pod.
func (m *Mesh) Routes(cluster, pod string) map[string]*routev3.RouteConfiguration {
	if p := m.pod(cluster, pod); p != nil {
		return p.proxy().routes
	}
	return nil
}

// RejectedListeners are the sorted errors of all listeners that Envoy would reject. It computes the
// configuration of every proxy.
func (m *Mesh) RejectedListeners() []string {
	var all []string
	for _, c := range m.order {
		for _, p := range c.pods {
			if p.NoSidecar {
				continue
			}
			for _, why := range p.proxy().rejected {
				all = append(all, p.String()+": "+why)
			}
		}
	}
	slices.Sort(all)
	return all
}

// TraceGateway traces a direct TLS connection to a cluster's cross-cluster gateways with the server
// name sni. The client certificate holds the SPIFFE ID identity; "" is a client without a
// certificate. The client accepts every server certificate and sends HTTP. Each gateway has an
// equal share.
func (m *Mesh) TraceGateway(cluster, sni, identity string) Result {
	result := Result{}
	w := &walk{mesh: m, result: &result}
	c := m.clusters[cluster]
	if c == nil || len(c.gateways) == 0 {
		w.undecided("there is no gateway in cluster %q", cluster)
		return result
	}
	conn := connection{
		tls: true, sni: sni, mutual: identity != "", identity: identity, alpn: []string{"istio-http/1.1", "istio", "http/1.1"},
		accepts: []*matcherv3.StringMatcher{}, request: &request{authority: sni, method: "GET", path: "/", scheme: "http"},
	}
	for _, g := range c.gateways {
		branches, err := w.throughGateway(nil, g, conn, nil)
		if err != nil {
			w.undecided("%v", err)
		}
		for _, found := range branches {
			w.record(found, 1/float64(len(c.gateways)))
		}
	}
	result.finish()
	return result
}
