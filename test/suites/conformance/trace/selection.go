package trace

import (
	"slices"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"istio.io/istio/pilot/pkg/model"
	labelutil "istio.io/istio/pilot/pkg/serviceregistry/util/label"
	istiocluster "istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/labels"
	"istio.io/istio/pkg/network"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/test/util/retry"
)

// selection is a pod and the host of a ServiceEntry that selects it.
type selection struct {
	ip, namespace, host string
}

// waitForSelections waits until istiod has selected the pods of all ServiceEntries. istiod computes
// them asynchronously and reports to be synced before.
func (p *istiod) waitForSelections(t test.Failer, configs []config.Config, watched []*cluster) {
	t.Helper()
	expected := selections(configs, watched)
	retry.UntilOrFail(t, func() bool {
		for len(expected) > 0 && p.hasSelected(expected[0]) {
			expected = expected[1:]
		}
		return len(expected) == 0
	}, retry.Delay(time.Millisecond), retry.Timeout(10*time.Second), retry.Message("istiod did not select all pods of the ServiceEntries"))
	p.server.ServiceEntryRegistry.ResyncEDS()
	p.server.EnsureSynced(t)
}

func (p *istiod) hasSelected(s selection) bool {
	node := &model.Proxy{IPAddresses: []string{s.ip}, Metadata: &model.NodeMetadata{Namespace: s.namespace}}
	targets := p.server.ServiceEntryRegistry.GetProxyServiceTargets(node)
	return slices.ContainsFunc(targets, func(target model.ServiceTarget) bool { return string(target.Service.Hostname) == s.host })
}

func selections(configs []config.Config, watched []*cluster) []selection {
	var all []selection
	for _, c := range configs {
		entry, _ := c.Spec.(*networking.ServiceEntry)
		if len(entry.GetWorkloadSelector().GetLabels()) == 0 {
			continue
		}
		for _, w := range watched {
			for _, p := range w.pods {
				if !p.Ready || p.Namespace != c.Namespace || !labels.Instance(entry.WorkloadSelector.Labels).SubsetOf(p.discoveredLabels()) {
					continue
				}
				for _, host := range entry.Hosts {
					all = append(all, selection{p.IP, p.Namespace, host})
				}
			}
		}
	}
	return all
}

// discoveredLabels are the pod's labels in istiod, which adds cluster, locality and network.
func (p *pod) discoveredLabels() labels.Instance {
	c := p.cluster
	return labelutil.AugmentLabels(p.labels(), istiocluster.ID(c.istioID()), c.Region+"/"+c.Zone, c.nodeName(), network.ID(c.Network))
}
