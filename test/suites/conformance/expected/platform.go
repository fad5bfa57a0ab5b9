package expected

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

// Deviations describe how a platform differs from the default. By default every version of every
// placement has two ready pods behind a Kubernetes Service, and all gateways are reachable.
type Deviations struct {
	// About is one sentence about what the scenario proves.
	About string `json:"about"`
	// Absent pods do not exist. NotReady pods exist and are not ready. NoSidecar pods have no mTLS.
	Absent    []Pods `json:"absent"`
	NotReady  []Pods `json:"notReady"`
	NoSidecar []Pods `json:"noSidecar"`
	// Extra pods run in clusters without a placement.
	Extra []Pods `json:"extra"`
	// Unreachable lists clusters whose cross-cluster gateways cannot be reached.
	Unreachable []string `json:"unreachable"`
}

// Pods selects pods by service, cluster and version. An empty field matches all.
type Pods struct {
	Service string `json:"service"`
	Cluster string `json:"cluster"`
	Version string `json:"version"`
}

func (p Pods) matches(service, cluster, version string) bool {
	return (p.Service == "" || p.Service == service) && (p.Cluster == "" || p.Cluster == cluster) && (p.Version == "" || p.Version == version)
}

func anyMatches(list []Pods, service, cluster, version string) bool {
	return slices.ContainsFunc(list, func(p Pods) bool { return p.matches(service, cluster, version) })
}

// Platform is the platform as the inventory describes it, with the deviations and without bundles.
func Platform(m repo.Mesh, d Deviations) scenario.Scenario {
	sc := scenario.Scenario{}
	for _, name := range sortedKeys(m.Clusters) {
		sc.Clusters = append(sc.Clusters, platformCluster(m, name, d))
		sc.Pods = append(sc.Pods, platformPods(m, name, d)...)
		for _, service := range sortedKeys(m.Services) {
			s := m.Services[service]
			if a := s.Placement[name].Address; a != "" {
				sc.LoadBalancers = append(sc.LoadBalancers, scenario.LoadBalancer{
					Cluster: name, Address: a, Namespace: namespace(s, name), Service: cmp.Or(kubernetesService(s, name), service),
				})
			}
		}
	}
	AssignPodIPs(&sc)
	return sc
}

// AssignPodIPs gives each pod its own IP.
func AssignPodIPs(sc *scenario.Scenario) {
	for i := range sc.Pods {
		sc.Pods[i].IP = fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)
	}
}

func platformCluster(m repo.Mesh, name string, d Deviations) scenario.Cluster {
	c := m.Clusters[name]
	out := scenario.Cluster{
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
	// A control plane without peers needs no cluster ID and no network. Istio's default ID is the
	// same in all clusters.
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
		out.Gateways = append(out.Gateways, scenario.Gateway{Address: g.Address, Port: g.Port, Workload: workload})
	}
	if c.PublicGateway != nil {
		public := publicGateway(m, name)
		out.Public = &scenario.Workload{Namespace: public.Namespace, ServiceAccount: public.ServiceAccount, Labels: public.Selector}
	}
	return out
}

func gatewayWorkload(m repo.Mesh, cluster string) scenario.Workload {
	workload := scenario.Workload{Namespace: m.Settings.Gateway.Namespace, ServiceAccount: "istio-eastwestgateway", Labels: m.Settings.Gateway.Selector}
	if g := m.Clusters[cluster].Gateway; g != nil {
		if g.Namespace != "" {
			workload.Namespace = g.Namespace
		}
		if len(g.Selector) > 0 {
			workload.Labels = g.Selector
		}
	}
	if len(workload.Labels) == 0 {
		workload.Labels = map[string]string{"istio": "eastwestgateway"}
	}
	return workload
}

// publicGateway of a cluster. Fields that the cluster does not state come from the settings.
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

// replicas of each version in each placement.
const replicas = 2

func platformPods(m repo.Mesh, cluster string, d Deviations) []scenario.Pod {
	pods := []scenario.Pod{}
	for _, name := range sortedKeys(m.Services) {
		s := m.Services[name]
		versions := []string{}
		if _, placed := s.Placement[cluster]; placed {
			versions = versionsAt(s, cluster)
		} else if anyMatches(d.Extra, name, cluster, "") {
			versions = append(versions, "")
		}
		for _, e := range d.Extra {
			if e.Service == name && e.Cluster == cluster && e.Version != "" && !slices.Contains(versions, e.Version) {
				versions = append(versions, e.Version)
			}
		}
		for _, v := range versions {
			if anyMatches(d.Absent, name, cluster, v) {
				continue
			}
			for r := range replicas {
				pod := platformPod(name, s, cluster, v, r)
				pod.Ready = !anyMatches(d.NotReady, name, cluster, v)
				pod.NoSidecar = anyMatches(d.NoSidecar, name, cluster, v)
				pods = append(pods, pod)
			}
		}
	}
	return pods
}

func platformPod(name string, s repo.Service, cluster, version string, replica int) scenario.Pod {
	labels := maps.Clone(selector(s, cluster))
	maps.Copy(labels, s.Versions[version].Labels)
	accounts := serviceAccounts(s, cluster)
	pod := scenario.Pod{
		Cluster: cluster,
		Name:    fmt.Sprintf("%s-%d", name, replica),
		Workload: scenario.Workload{
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

// podPort is the container port behind a port of the service. A named Kubernetes Service may map
// its ports in any way, so it gets another number here.
func podPort(s repo.Service, cluster string, p repo.Port) int {
	if kubernetesService(s, cluster) != "" {
		return 20000 + p.Port%10000
	}
	if p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Port
}

// servicePort is the port of the Kubernetes Service in front of the pods.
func servicePort(s repo.Service, cluster string, p repo.Port) int {
	if kubernetesService(s, cluster) != "" && p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Port
}
