package trace

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

const (
	systemNamespace = "istio-system"
	// crossClusterPort is the port of cross-cluster gateways unless the bundle's Gateway states
	// another one.
	crossClusterPort = 15443
	// publicPod is the pod name in a call that starts at the public gateway.
	publicPod = "public"
)

// cluster is a cluster of the scenario with everything that runs in it.
type cluster struct {
	scenario.Cluster
	index  int
	bundle map[string]map[string]any
	// pods of the scenario and of the gateways.
	pods     []*pod
	services []*service
	gateways []*gateway
	public   *pod
	// istiod configures the proxies of this cluster.
	istiod *istiod
}

// pod is a pod of the scenario or of a gateway.
type pod struct {
	scenario.Pod
	cluster *cluster
	// router: the pod is a gateway, not an application with a sidecar.
	router bool
}

// gateway is one address of a cross-cluster gateway.
type gateway struct {
	scenario.Gateway
	cluster *cluster
	pod     *pod
	// resolved is the IP of Address.
	resolved string
	// target is the port of the gateway's pod.
	target int
}

func (c *cluster) nodeName() string { return "node-" + c.Name }

// istioID is Istio's cluster ID.
func (c *cluster) istioID() string { return cmp.Or(c.IstioID, c.Name) }

// objectName is unique across clusters, like real pod names with their random suffix. istiod
// identifies the pods that a ServiceEntry selects by namespace and name only.
func (p *pod) objectName() string { return p.Name + "-" + p.cluster.Name }

// identity is the SPIFFE ID in the pod's certificate.
func (p *pod) identity() string {
	return fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", cmp.Or(p.cluster.TrustDomain, "cluster.local"), p.Namespace, p.ServiceAccount)
}

func (p *pod) String() string { return p.cluster.Name + "/" + p.Name }

// newCluster is a cluster of the scenario with the Services of its pods. See addGateways.
func newCluster(sc *scenario.Scenario, index int) *cluster {
	c := &cluster{Cluster: sc.Clusters[index], index: index}
	c.bundle = sc.Bundles[c.Name]
	for _, p := range sc.Pods {
		if p.Cluster == c.Name {
			c.pods = append(c.pods, &pod{Pod: p, cluster: c})
		}
	}
	slices.SortFunc(c.pods, func(a, b *pod) int { return cmp.Compare(a.Name, b.Name) })
	c.services = c.podServices()
	return c
}

// addGateways adds the pods and Services of the cluster's gateways. bundle belongs to the control
// plane.
func (c *cluster) addGateways(bundle map[string]map[string]any) {
	byWorkload := map[string]*pod{}
	for i, g := range c.Gateways {
		key := fmt.Sprint(g.Workload.Namespace, g.Workload.ServiceAccount, g.Workload.Labels)
		p := byWorkload[key]
		if p == nil {
			p = c.routerPod(fmt.Sprintf("crosscluster-gateway-%d", len(byWorkload)), g.Workload)
			byWorkload[key] = p
		}
		gw := &gateway{Gateway: g, cluster: c, pod: p, resolved: g.Address, target: crossClusterPort}
		gw.Port = cmp.Or(gw.Port, crossClusterPort)
		if number := serverPort(bundle, g.Workload.Labels, "AUTO_PASSTHROUGH"); number != 0 {
			gw.target = number
		}
		// Stands for the DNS lookup of istiod.
		if _, err := netip.ParseAddr(g.Address); err != nil {
			gw.resolved = fmt.Sprintf("198.18.%d.%d", c.index, i+1)
		}
		c.gateways = append(c.gateways, gw)
		c.services = append(c.services, c.gatewayService(i, gw))
	}
	if c.Public != nil {
		c.public = c.routerPod("public-gateway", *c.Public)
		c.services = append(c.services, c.publicService())
	}
}

func (c *cluster) routerPod(name string, workload scenario.Workload) *pod {
	n := 1 + len(c.pods)
	p := &pod{router: true, cluster: c, Pod: scenario.Pod{
		Cluster: c.Name, Name: name, Workload: workload, Ready: true,
		IP: fmt.Sprintf("100.%d.%d.%d", 64+c.index, n/250, n%250+1),
	}}
	c.pods = append(c.pods, p)
	return p
}

// gatewayService is the Service of the gateway. istiod finds the gateways of a network by its
// labels.
func (c *cluster) gatewayService(i int, g *gateway) *service {
	labels := map[string]string{}
	if c.Network != "" {
		labels["topology.istio.io/network"] = c.Network
		if g.Port != crossClusterPort {
			labels["networking.istio.io/gatewayPort"] = fmt.Sprint(g.Port)
		}
	}
	return &service{
		cluster: c, name: fmt.Sprintf("crosscluster-gateway-%d", i), namespace: g.Workload.Namespace, labels: labels,
		selector: g.Workload.Labels, clusterIP: fmt.Sprintf("10.%d.254.%d", 96+c.index, i+1), external: []string{g.resolved},
		ports: []servicePort{{name: "tls", port: g.Port, target: g.target}}, pods: []*pod{g.pod},
	}
}

// publicService maps the ports 80 and 443 to the ports of an unprivileged gateway.
func (c *cluster) publicService() *service {
	return &service{
		cluster: c, name: "public-gateway", namespace: c.Public.Namespace, selector: c.Public.Labels,
		clusterIP: fmt.Sprintf("10.%d.255.1", 96+c.index), external: []string{fmt.Sprintf("198.19.%d.1", c.index)},
		ports: []servicePort{{name: "http2", port: 80, target: 8080}, {name: "https", port: 443, target: 8443}}, pods: []*pod{c.public},
	}
}

// serverPort is the port of the first server of the given TLS mode on a Gateway that selects the
// labels, 0 for none.
func serverPort(bundle map[string]map[string]any, labels map[string]string, mode string) int {
	for _, key := range slices.Sorted(maps.Keys(bundle)) {
		if bundle[key]["kind"] != "Gateway" {
			continue
		}
		spec, _ := bundle[key]["spec"].(map[string]any)
		selector, _ := spec["selector"].(map[string]any)
		selected := true
		for name, value := range selector {
			selected = selected && labels[name] == fmt.Sprint(value)
		}
		servers, _ := spec["servers"].([]any)
		for _, s := range servers {
			server, _ := s.(map[string]any)
			tls, _ := server["tls"].(map[string]any)
			port, _ := server["port"].(map[string]any)
			if selected && tls["mode"] == mode {
				return number(port["number"])
			}
		}
	}
	return 0
}

// number converts a number of decoded JSON or YAML.
func number(v any) int {
	switch n := v.(type) {
	case int:
		return n
	case int64:
		return int(n)
	case float64:
		return int(n)
	}
	return 0
}
