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

// istioVersion is what the proxies say they are.
const istioVersion = "1.31.0"

// proxy is an Envoy with the configuration that its control plane gives it.
type proxy struct {
	pod   *pod
	plane *plane
	node  *model.Proxy

	listeners []*listenerv3.Listener
	clusters  map[string]*clusterv3.Cluster
	routes    map[string]*routev3.RouteConfiguration
	// refused are the listeners that Envoy does not take, with the reason.
	refused map[string]string
	// groups are the endpoints of the clusters that were asked for already.
	groups map[string][]priorityGroup
}

// proxyOf computes a pod's configuration once.
func (p *plane) proxyOf(owner *pod) *proxy {
	if known := p.proxies[owner]; known != nil {
		return known
	}
	x := &proxy{pod: owner, plane: p, node: p.node(owner), groups: map[string][]priorityGroup{}, refused: map[string]string{}}
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
		if twice := duplicateMatch(l); twice != "" {
			x.refused[l.Name] = twice
		}
	}
	p.proxies[owner] = x
	return x
}

// node is the proxy as istiod knows it once it has connected.
func (p *plane) node(owner *pod) *model.Proxy {
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

// loadAssignment is where a cluster's endpoints stand: with EDS, what istiod would answer; otherwise in the cluster itself.
func (x *proxy) loadAssignment(c *clusterv3.Cluster) *endpointv3.ClusterLoadAssignment {
	if c.GetType() != clusterv3.Cluster_EDS {
		return c.LoadAssignment
	}
	name := c.GetEdsClusterConfig().GetServiceName()
	if name == "" {
		name = c.Name
	}
	builder := endpoints.NewEndpointBuilder(name, x.node, x.plane.server.PushContext())
	return builder.BuildClusterLoadAssignment(x.plane.server.Discovery.Env.EndpointIndex)
}

func (x *proxy) String() string { return x.pod.String() }

// clusterNames are sorted.
func (x *proxy) clusterNames() []string { return slices.Sorted(maps.Keys(x.clusters)) }

func (x *proxy) cluster(name string) (*clusterv3.Cluster, error) {
	c := x.clusters[name]
	if c == nil {
		return nil, fmt.Errorf("%s has no Envoy cluster %s", x, name)
	}
	return c, nil
}
