package trace

import (
	"fmt"
	"slices"
	"sync"

	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// Mesh is a world whose control planes run. It keeps what it computed for a proxy, and is for one goroutine at a time; several meshes may run side by
// side.
type Mesh struct {
	clusters map[string]*cluster
	order    []*cluster
	balancer map[string]*service
}

// Option changes how a world is started.
type Option func(*options)

type options struct{ youngestFirst bool }

// YoungestFirst gives the resources of each bundle the opposite order of age. What a bundle means must not depend on it.
func YoungestFirst() Option { return func(o *options) { o.youngestFirst = true } }

// Start runs the control planes of the world until the test ends. An error is a fault of the world: a resource that is none, a cluster without
// control plane. Istio's own failures end the test.
func Start(t test.Failer, w *world.World, opts ...Option) (*Mesh, error) {
	t.Helper()
	quiet()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	m := &Mesh{clusters: map[string]*cluster{}, balancer: map[string]*service{}}
	for i := range w.Clusters {
		c := newCluster(w, i)
		if m.clusters[c.Name] != nil {
			return nil, fmt.Errorf("two clusters are named %s", c.Name)
		}
		m.clusters[c.Name] = c
		m.order = append(m.order, c)
	}
	if err := m.checkPods(w); err != nil {
		return nil, err
	}
	for _, c := range m.order {
		if m.clusters[c.planeName()] == nil {
			return nil, fmt.Errorf("cluster %s has the control plane of %q, which is not in the world", c.Name, c.ControlPlane)
		}
		c.addGateways(w.Bundles[c.planeName()])
	}
	for _, l := range w.LoadBalancers {
		if err := m.addBalancer(l); err != nil {
			return nil, err
		}
	}
	for _, c := range m.order {
		if c.planeName() != c.Name {
			continue
		}
		if err := m.startPlane(t, c, o); err != nil {
			return nil, fmt.Errorf("control plane of %s: %w", c.Name, err)
		}
	}
	for _, c := range m.order {
		c.plane = m.clusters[c.planeName()].plane
		if c.plane == nil {
			return nil, fmt.Errorf("cluster %s has the control plane of %s, which is itself remote", c.Name, c.ControlPlane)
		}
	}
	return m, nil
}

func (m *Mesh) checkPods(w *world.World) error {
	seen := map[string]bool{}
	for _, p := range w.Pods {
		if m.clusters[p.Cluster] == nil {
			return fmt.Errorf("pod %s is in cluster %q, which is not in the world", p.Name, p.Cluster)
		}
		key := p.Cluster + "/" + p.Name
		if seen[key] {
			return fmt.Errorf("two pods are named %s", key)
		}
		seen[key] = true
	}
	for name := range w.Bundles {
		if m.clusters[name] == nil {
			return fmt.Errorf("there is a bundle for cluster %q, which is not in the world", name)
		}
	}
	return nil
}

func (m *Mesh) addBalancer(l world.LoadBalancer) error {
	c := m.clusters[l.Cluster]
	if c == nil {
		return fmt.Errorf("load balancer %s is in cluster %q, which is not in the world", l.Address, l.Cluster)
	}
	i := slices.IndexFunc(c.services, func(s *service) bool { return s.namespace == l.Namespace && s.name == l.Service })
	if i < 0 {
		return fmt.Errorf("load balancer %s: no pod of cluster %s names the service %s/%s", l.Address, l.Cluster, l.Namespace, l.Service)
	}
	m.balancer[l.Address] = c.services[i]
	return nil
}

// planeName is the cluster whose control plane configures the proxies here.
func (c *cluster) planeName() string {
	if c.ControlPlane == "" {
		return c.Name
	}
	return c.ControlPlane
}

// quiet silences Istio: a world's control planes write thousands of lines that say nothing of the resources.
var quiet = sync.OnceFunc(func() {
	for _, scope := range log.Scopes() {
		scope.SetOutputLevel(log.NoneLevel)
	}
})
