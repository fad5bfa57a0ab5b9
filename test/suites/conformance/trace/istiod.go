package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/serviceregistry/aggregate"
	"istio.io/istio/pilot/pkg/serviceregistry/provider"
	"istio.io/istio/pilot/test/xds"
	istiocluster "istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/test"
)

// istiod is one control plane.
type istiod struct {
	server *xds.FakeDiscoveryServer
	// proxies caches configurations.
	proxies map[*pod]*proxy
}

// startIstiod runs the control plane of the primary cluster c. It reads the API servers of c and of
// the clusters that c watches.
func (m *Mesh) startIstiod(t test.Failer, c *cluster, o options) error {
	t.Helper()
	configs, err := istioConfigs(c.bundle, o)
	if err != nil {
		return err
	}
	watched := m.watchedBy(c)
	objects := map[istiocluster.ID][]runtime.Object{}
	for _, w := range watched {
		if objects[istiocluster.ID(w.istioID())], err = w.kubernetesObjects(); err != nil {
			return err
		}
	}
	if len(objects) != len(watched) {
		return errors.New("two of the watched clusters have the same Istio cluster ID")
	}
	networks := &staticNetworks{}
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		DefaultClusterName:         istiocluster.ID(c.istioID()),
		KubernetesObjectsByCluster: objects,
		Configs:                    configs,
		MeshConfig:                 meshConfig(c),
		NetworksWatcher:            networks,
		KubeClientBuilder:          fakeClient,
	})
	c.istiod = &istiod{server: server, proxies: map[*pod]*proxy{}}
	c.istiod.selectWatchedPods(c, watched, networks)
	c.istiod.waitForSelections(t, configs, watched)
	return nil
}

// watchedBy are the clusters whose API servers the istiod of c reads, c first.
func (m *Mesh) watchedBy(c *cluster) []*cluster {
	all := []*cluster{c}
	for _, other := range m.order {
		if other != c && (slices.Contains(c.Watched, other.Name) || other.controlPlaneName() == c.Name) {
			all = append(all, other)
		}
	}
	return all
}

// selectWatchedPods makes ServiceEntries select the pods of watched clusters. istiod supports that;
// the fake server does so for its own cluster only. So handlers for the other clusters are added
// here, and the pods are announced again.
func (p *istiod) selectWatchedPods(c *cluster, watched []*cluster, networks *staticNetworks) {
	if len(watched) == 1 {
		return
	}
	registries, _ := p.server.Env().ServiceDiscovery.(*aggregate.Controller)
	for _, registry := range registries.GetRegistries() {
		if registry.Provider() != provider.Kubernetes || string(registry.Cluster()) == c.istioID() {
			continue
		}
		i := slices.IndexFunc(watched, func(w *cluster) bool { return w.istioID() == string(registry.Cluster()) })
		registry.AppendWorkloadHandler(p.workloadHandler(c, watched[i]))
	}
	networks.notify()
}

// workloadHandler also replaces the trust domain of the pods' identities with that of their
// cluster. istiod reads it from the MeshConfig of each cluster; the fake server has one MeshConfig
// only.
func (p *istiod) workloadHandler(own, from *cluster) func(*model.WorkloadInstance, model.Event) {
	oldPrefix, newPrefix := "spiffe://"+trustDomain(own)+"/", "spiffe://"+trustDomain(from)+"/"
	return func(wi *model.WorkloadInstance, event model.Event) {
		if rest, found := strings.CutPrefix(wi.Endpoint.ServiceAccount, oldPrefix); found {
			wi.Endpoint.ServiceAccount = newPrefix + rest
		}
		p.server.ServiceEntryRegistry.WorkloadInstanceHandler(wi, event)
	}
}

func trustDomain(c *cluster) string {
	if c.TrustDomain == "" {
		return "cluster.local"
	}
	return c.TrustDomain
}

func meshConfig(c *cluster) *meshconfig.MeshConfig {
	m := mesh.DefaultMeshConfig()
	m.TrustDomain = trustDomain(c)
	m.TrustDomainAliases = c.TrustDomainAliases
	return m
}

// istioConfigs are the Istio resources of a bundle. Each is one second younger than the previous
// one.
func istioConfigs(bundle map[string]map[string]any, o options) ([]config.Config, error) {
	keys := slices.Sorted(maps.Keys(bundle))
	if o.youngestFirst {
		slices.Reverse(keys)
	}
	var configs []config.Config
	for i, key := range keys {
		if !strings.Contains(fmt.Sprint(bundle[key]["apiVersion"]), "istio.io/") {
			continue
		}
		c, err := istioConfig(bundle[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		c.CreationTimestamp = creationTime.Add(time.Duration(i) * time.Second)
		configs = append(configs, *c)
	}
	return configs, nil
}

func istioConfig(object map[string]any) (*config.Config, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var k crd.IstioKind
	if err := json.Unmarshal(raw, &k); err != nil {
		return nil, err
	}
	kind := config.FromKubernetesGVK(k.GroupVersionKind())
	schema, known := collections.All.FindByGroupVersionAliasesKind(kind)
	if !known {
		return nil, fmt.Errorf("Istio has no kind %s in %s", k.Kind, k.APIVersion)
	}
	return crd.ConvertObject(schema, &k, "cluster.local")
}

// staticNetworks is an empty MeshNetworks: networks come from labels. notify makes the registries
// announce their pods again.
type staticNetworks struct{ handlers []func() }

func (*staticNetworks) Networks() *meshconfig.MeshNetworks { return nil }

func (s *staticNetworks) AddNetworksHandler(handler func()) *mesh.WatcherHandlerRegistration {
	s.handlers = append(s.handlers, handler)
	return mesh.NewWatcherHandlerRegistration(func() {})
}

func (*staticNetworks) DeleteNetworksHandler(*mesh.WatcherHandlerRegistration) {}

func (s *staticNetworks) notify() {
	for _, handler := range s.handlers {
		handler()
	}
}
