package trace

import (
	"fmt"
	"slices"
	"sync"

	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

// Mesh is a scenario with running control planes. It caches the configuration of proxies. A Mesh is
// not safe for concurrent use; several of them can be used at the same time.
type Mesh struct {
	clusters      map[string]*cluster
	order         []*cluster
	loadBalancers map[string]*service
}

// Option changes how a scenario is started.
type Option func(*options)

type options struct{ youngestFirst bool }

// YoungestFirst reverses the ages of the resources of each bundle. The result must not depend on
// them.
func YoungestFirst() Option { return func(o *options) { o.youngestFirst = true } }

// Start runs the control planes of the scenario until the test ends. It returns an error for an
// invalid scenario, for example an unknown kind or a cluster without a control plane. Failures of
// Istio itself fail the test.
func Start(t test.Failer, sc *scenario.Scenario, opts ...Option) (*Mesh, error) {
	t.Helper()
	SilenceIstio()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	m := &Mesh{clusters: map[string]*cluster{}, loadBalancers: map[string]*service{}}
	for i := range sc.Clusters {
		c := newCluster(sc, i)
		if m.clusters[c.Name] != nil {
			return nil, fmt.Errorf("two clusters are named %s", c.Name)
		}
		m.clusters[c.Name] = c
		m.order = append(m.order, c)
	}
	if err := m.checkPods(sc); err != nil {
		return nil, err
	}
	for _, c := range m.order {
		if m.clusters[c.controlPlaneName()] == nil {
			return nil, fmt.Errorf("cluster %s has the control plane of %q, which is not in the scenario", c.Name, c.ControlPlane)
		}
		c.addGateways(sc.Bundles[c.controlPlaneName()])
	}
	for _, l := range sc.LoadBalancers {
		if err := m.addLoadBalancer(l); err != nil {
			return nil, err
		}
	}
	for _, c := range m.order {
		if c.controlPlaneName() != c.Name {
			continue
		}
		if err := m.startIstiod(t, c, o); err != nil {
			return nil, fmt.Errorf("control plane of %s: %w", c.Name, err)
		}
	}
	for _, c := range m.order {
		c.istiod = m.clusters[c.controlPlaneName()].istiod
		if c.istiod == nil {
			return nil, fmt.Errorf("cluster %s has the control plane of %s, which is itself remote", c.Name, c.ControlPlane)
		}
	}
	return m, nil
}

func (m *Mesh) checkPods(sc *scenario.Scenario) error {
	seen := map[string]bool{}
	for _, p := range sc.Pods {
		if m.clusters[p.Cluster] == nil {
			return fmt.Errorf("pod %s is in cluster %q, which is not in the scenario", p.Name, p.Cluster)
		}
		key := p.Cluster + "/" + p.Name
		if seen[key] {
			return fmt.Errorf("two pods are named %s", key)
		}
		seen[key] = true
	}
	for name := range sc.Bundles {
		if m.clusters[name] == nil {
			return fmt.Errorf("there is a bundle for cluster %q, which is not in the scenario", name)
		}
	}
	return nil
}

func (m *Mesh) addLoadBalancer(l scenario.LoadBalancer) error {
	c := m.clusters[l.Cluster]
	if c == nil {
		return fmt.Errorf("load balancer %s is in cluster %q, which is not in the scenario", l.Address, l.Cluster)
	}
	i := slices.IndexFunc(c.services, func(s *service) bool { return s.namespace == l.Namespace && s.name == l.Service })
	if i < 0 {
		return fmt.Errorf("load balancer %s: no pod of cluster %s names the service %s/%s", l.Address, l.Cluster, l.Namespace, l.Service)
	}
	m.loadBalancers[l.Address] = c.services[i]
	return nil
}

// controlPlaneName is the cluster whose control plane configures the proxies of this cluster.
func (c *cluster) controlPlaneName() string {
	if c.ControlPlane == "" {
		return c.Name
	}
	return c.ControlPlane
}

// SilenceIstio turns off Istio's log, which writes thousands of lines per scenario.
var SilenceIstio = sync.OnceFunc(func() {
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel)
	}
})
