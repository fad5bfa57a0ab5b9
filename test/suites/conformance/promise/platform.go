package promise

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// Deviations are how a platform differs from the default: two pods for every version in every placement, all of them ready, behind a
// Kubernetes Service; all gateways reachable.
type Deviations struct {
	// About says what the world proves, for its reader.
	About string `json:"about"`
	// Absent pods are not there, NotReady ones are there and get nothing, NoSidecar ones speak no mTLS.
	Absent    []Pods `json:"absent"`
	NotReady  []Pods `json:"notReady"`
	NoSidecar []Pods `json:"noSidecar"`
	// Extra pods run where no placement says so.
	Extra []Pods `json:"extra"`
	// Unreachable are clusters whose cross-cluster gateways nobody reaches.
	Unreachable []string `json:"unreachable"`
}

// Pods are those of a service, in a cluster, of a version; what is empty stands for all.
type Pods struct {
	Service string `json:"service"`
	Cluster string `json:"cluster"`
	Version string `json:"version"`
}

func (p Pods) has(service, cluster, version string) bool {
	return (p.Service == "" || p.Service == service) && (p.Cluster == "" || p.Cluster == cluster) && (p.Version == "" || p.Version == version)
}

func anyHas(list []Pods, service, cluster, version string) bool {
	return slices.ContainsFunc(list, func(p Pods) bool { return p.has(service, cluster, version) })
}

// Platform is what platform teams that follow the inventory set up, without any bundle.
func Platform(m repo.Mesh, d Deviations) world.World {
	w := world.World{}
	for _, name := range sortedKeys(m.Clusters) {
		w.Clusters = append(w.Clusters, platformCluster(m, name, d))
		w.Pods = append(w.Pods, platformPods(m, name, d)...)
		for _, service := range sortedKeys(m.Services) {
			s := m.Services[service]
			if a := s.Placement[name].Address; a != "" {
				w.LoadBalancers = append(w.LoadBalancers, world.LoadBalancer{
					Cluster: name, Address: a, Namespace: namespace(s, name), Service: cmp.Or(kubernetesService(s, name), service),
				})
			}
		}
	}
	NumberPods(&w)
	return w
}

// NumberPods gives each pod an IP of its own.
func NumberPods(w *world.World) {
	for i := range w.Pods {
		w.Pods[i].IP = fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)
	}
}

func platformCluster(m repo.Mesh, name string, d Deviations) world.Cluster {
	c := m.Clusters[name]
	out := world.Cluster{
		Name:               name,
		ControlPlane:       name,
		TrustDomain:        c.TrustDomain,
		TrustDomainAliases: otherTrustDomains(m, c.TrustDomain),
		Region:             c.Region,
		Zone:               c.Zone,
		GatewayUnreachable: slices.Contains(d.Unreachable, name),
	}
	if c.ControlPlane.Kind == "remote" {
		out.ControlPlane = c.ControlPlane.Primary
	}
	// A control plane on its own needs neither a name nor a network of its own, and Istio's default name is the same everywhere.
	out.IstioID, out.Network = "Kubernetes", c.Network
	if peers := members(m, name); len(peers) > 1 {
		out.IstioID, out.Network = name, network(m, name)
		out.RequestedNetworkView = true
		if out.ControlPlane == name {
			out.Watched = slices.DeleteFunc(peers, func(p string) bool { return p == name })
		}
	}
	if c.IstioClusterID != "" {
		out.IstioID = c.IstioClusterID
	}
	workload := gatewayWorkload(m, name)
	for _, g := range c.Gateways {
		out.Gateways = append(out.Gateways, world.Gateway{Address: g.Address, Port: g.Port, Workload: workload})
	}
	if c.PublicGateway != nil {
		public := publicGateway(m, name)
		out.Public = &world.Workload{Namespace: public.Namespace, ServiceAccount: public.ServiceAccount, Labels: public.Selector}
	}
	return out
}

func gatewayWorkload(m repo.Mesh, cluster string) world.Workload {
	w := world.Workload{Namespace: m.Settings.Gateway.Namespace, ServiceAccount: "istio-eastwestgateway", Labels: m.Settings.Gateway.Selector}
	if g := m.Clusters[cluster].Gateway; g != nil {
		if g.Namespace != "" {
			w.Namespace = g.Namespace
		}
		if len(g.Selector) > 0 {
			w.Labels = g.Selector
		}
	}
	if len(w.Labels) == 0 {
		w.Labels = map[string]string{"istio": "eastwestgateway"}
	}
	return w
}

// publicGateway of a cluster, each field from the settings where the cluster does not say.
func publicGateway(m repo.Mesh, cluster string) repo.PublicGateway {
	out := repo.PublicGateway{}
	if m.Settings.PublicGateway != nil {
		out = *m.Settings.PublicGateway
	}
	c := *m.Clusters[cluster].PublicGateway
	if c.Namespace != "" {
		out.Namespace = c.Namespace
	}
	if len(c.Selector) > 0 {
		out.Selector = c.Selector
	}
	if len(out.Selector) == 0 {
		out.Selector = map[string]string{"istio": "ingressgateway"}
	}
	if c.Port != 0 {
		out.Port = c.Port
	}
	if c.ServiceAccount != "" {
		out.ServiceAccount = c.ServiceAccount
	}
	return out
}

func otherTrustDomains(m repo.Mesh, own string) []string {
	others := map[string]bool{}
	for _, c := range m.Clusters {
		if c.TrustDomain != own {
			others[c.TrustDomain] = true
		}
	}
	return sortedKeys(others)
}

// replicas of every version in every placement.
const replicas = 2

func platformPods(m repo.Mesh, cluster string, d Deviations) []world.Pod {
	pods := []world.Pod{}
	for _, name := range sortedKeys(m.Services) {
		s := m.Services[name]
		versions := []string{}
		if _, placed := s.Placement[cluster]; placed {
			versions = versionsAt(s, cluster)
		} else if anyHas(d.Extra, name, cluster, "") {
			versions = append(versions, "")
		}
		for _, e := range d.Extra {
			if e.Service == name && e.Cluster == cluster && e.Version != "" && !slices.Contains(versions, e.Version) {
				versions = append(versions, e.Version)
			}
		}
		for _, v := range versions {
			if anyHas(d.Absent, name, cluster, v) {
				continue
			}
			for r := range replicas {
				pod := platformPod(name, s, cluster, v, r)
				pod.Ready = !anyHas(d.NotReady, name, cluster, v)
				pod.NoSidecar = anyHas(d.NoSidecar, name, cluster, v)
				pods = append(pods, pod)
			}
		}
	}
	return pods
}

func platformPod(name string, s repo.Service, cluster, version string, replica int) world.Pod {
	labels := maps.Clone(selector(s, cluster))
	maps.Copy(labels, s.Versions[version].Labels)
	accounts := serviceAccounts(s, cluster)
	pod := world.Pod{
		Cluster: cluster,
		Name:    fmt.Sprintf("%s-%d", name, replica),
		Workload: world.Workload{
			Namespace:      namespace(s, cluster),
			ServiceAccount: accounts[replica%len(accounts)],
			Labels:         labels,
		},
		Ports:        map[int]string{},
		Service:      name,
		ServicePorts: map[int]int{},
	}
	if version != "" {
		pod.Name = fmt.Sprintf("%s-%s-%d", name, version, replica)
	}
	if service := kubernetesService(s, cluster); service != "" {
		pod.Service = service
	}
	for portName, p := range s.Ports {
		pod.Ports[podPort(s, cluster, p)] = portName
		pod.ServicePorts[servicePort(s, cluster, p)] = podPort(s, cluster, p)
	}
	return pod
}

// podPort is the number on which the pods of a service listen for what callers send to one of its ports. Where a Kubernetes Service is
// named, how it maps its ports is nobody's business in the mesh, so the platform makes it something else.
func podPort(s repo.Service, cluster string, p repo.Port) int {
	if kubernetesService(s, cluster) != "" {
		return 20000 + p.Port%10000
	}
	if p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Port
}

// servicePort is that of the Kubernetes Service in front.
func servicePort(s repo.Service, cluster string, p repo.Port) int {
	if kubernetesService(s, cluster) != "" && p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Port
}
