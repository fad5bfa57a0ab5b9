package trace

import (
	"fmt"
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/util"
	labelutil "istio.io/istio/pilot/pkg/serviceregistry/util/label"
	"istio.io/istio/pilot/pkg/xds/endpoints"
	istiocluster "istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/network"
	"istio.io/istio/pkg/spiffe"
)

// istioVersion is the version that the proxies report.
const istioVersion = "1.31.0"

// proxy is an Envoy with its configuration.
type proxy struct {
	pod    *pod
	istiod *istiod
	node   *model.Proxy

	listeners []*listenerv3.Listener
	clusters  map[string]*clusterv3.Cluster
	routes    map[string]*routev3.RouteConfiguration
	// rejected maps listeners that Envoy would reject to the reason.
	rejected map[string]string
	// groups caches the endpoints of Envoy clusters.
	groups map[string][]priorityGroup
}

// proxyOf computes a pod's configuration and caches it.
func (p *istiod) proxyOf(owner *pod) *proxy {
	if known := p.proxies[owner]; known != nil {
		return known
	}
	x := &proxy{pod: owner, istiod: p, node: p.node(owner), groups: map[string][]priorityGroup{}, rejected: map[string]string{}}
	x.listeners = p.server.Listeners(x.node)
	x.clusters = map[string]*clusterv3.Cluster{}
	for _, c := range p.server.Clusters(x.node) {
		x.clusters[c.Name] = c
	}
	x.routes = map[string]*routev3.RouteConfiguration{}
	for _, r := range p.server.RoutesFromListeners(x.node, x.listeners) {
		x.routes[r.Name] = r
	}
	for _, l := range x.listeners {
		if reason := duplicateMatch(l); reason != "" {
			x.rejected[l.Name] = reason
		}
	}
	p.proxies[owner] = x
	return x
}

// node is istiod's representation of the connected proxy.
func (p *istiod) node(owner *pod) *model.Proxy {
	c := owner.cluster
	node := &model.Proxy{
		Type:            model.SidecarProxy,
		ID:              owner.objectName() + "." + owner.Namespace,
		IPAddresses:     []string{owner.IP},
		DNSDomain:       owner.Namespace + ".svc.cluster.local",
		ConfigNamespace: owner.Namespace,
		IstioVersion:    model.ParseIstioVersion(istioVersion),
		Metadata: &model.NodeMetadata{
			Namespace: owner.Namespace, ServiceAccount: owner.ServiceAccount, Labels: owner.labels(), NodeName: c.nodeName(),
			ClusterID: istiocluster.ID(c.istioID()), Network: network.ID(c.Network), IstioVersion: istioVersion,
			InterceptionMode: model.InterceptionRedirect,
		},
		VerifiedIdentity: &spiffe.Identity{TrustDomain: trustDomain(c), Namespace: owner.Namespace, ServiceAccount: owner.ServiceAccount},
	}
	if owner.router {
		node.Type = model.Router
		if c.RequestedNetworkView && owner != c.public {
			node.Metadata.RequestedNetworkView = []string{c.Network}
		}
	}
	push := p.server.PushContext()
	node.SetWorkloadLabels(p.server.Env())
	node.Locality = &corev3.Locality{Region: c.Region, Zone: c.Zone}
	node.Labels = labelutil.AugmentLabels(node.Labels, node.Metadata.ClusterID, util.LocalityToString(node.Locality), c.nodeName(), node.Metadata.Network)
	node.SetServiceTargets(p.server.Env().ServiceDiscovery)
	node.SetSidecarScope(push)
	node.SetGatewaysForProxy(push)
	node.DiscoverIPMode()
	return node
}

// loadAssignment returns a cluster's endpoints: from istiod with EDS, otherwise from the cluster
// itself.
func (x *proxy) loadAssignment(c *clusterv3.Cluster) *endpointv3.ClusterLoadAssignment {
	if c.GetType() != clusterv3.Cluster_EDS {
		return c.LoadAssignment
	}
	name := c.GetEdsClusterConfig().GetServiceName()
	if name == "" {
		name = c.Name
	}
	builder := endpoints.NewEndpointBuilder(name, x.node, x.istiod.server.PushContext())
	return builder.BuildClusterLoadAssignment(x.istiod.server.Discovery.Env.EndpointIndex)
}

func (x *proxy) String() string { return x.pod.String() }

// clusterNames returns the sorted names of the Envoy clusters.
func (x *proxy) clusterNames() []string { return slices.Sorted(maps.Keys(x.clusters)) }

func (x *proxy) cluster(name string) (*clusterv3.Cluster, error) {
	c := x.clusters[name]
	if c == nil {
		return nil, fmt.Errorf("%s has no Envoy cluster %s", x, name)
	}
	return c, nil
}
