package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

// falseAlarm describes findings of an analyzer that are wrong.
type falseAlarm struct {
	code, reason string
	matches      func(occurrence) bool
}

// occurrence is a finding in its cluster and scenario.
type occurrence struct {
	scenario *scenario.Scenario
	cluster  string
	finding  Finding
}

var falseAlarms = []falseAlarm{
	{
		"IST0173", "the analyzer looks for pods of the same cluster only; the subset selects endpoints of a ServiceEntry, for example gateways",
		subsetSelectsEndpoints,
	},
	{
		"IST0173", "the analyzer looks for pods of the same cluster only, and ignores the cluster label that Istio adds to pods; the subset selects pods of the clusters that one istiod reads",
		subsetSelectsWatchedPods,
	},
	{
		"IST0101", "the platform provides the Secret of a public certificate; it is not in the repository",
		func(o occurrence) bool { return strings.Contains(o.finding.Message, "credentialName") },
	},
	{
		"IST0134", "the ServiceEntry is exported to gateways only, which route by SNI and never by address",
		exportedToGatewaysOnly,
	},
}

// Filter removes false alarms and records the entries of the table that matched. It is safe for
// concurrent use.
type Filter struct {
	mutex sync.Mutex
	hits  map[string]bool
}

// Real returns the findings without false alarms.
func (k *Filter) Real(sc *scenario.Scenario, cluster string, findings []Finding) []Finding {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool {
		for _, a := range falseAlarms {
			if a.code == f.Code && a.matches(occurrence{sc, cluster, f}) {
				if k.hits == nil {
					k.hits = map[string]bool{}
				}
				k.hits[a.code+": "+a.reason] = true
				return true
			}
		}
		return false
	})
}

// Unused returns the entries of the table that matched no finding.
func (k *Filter) Unused() []string {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	var unused []string
	for _, a := range falseAlarms {
		if name := a.code + ": " + a.reason; !k.hits[name] {
			unused = append(unused, name)
		}
	}
	return unused
}

var subsetOf = regexp.MustCompile(`^The Subset (\S+) defined`)

// subset returns host and labels of the subset that the finding names.
func (o occurrence) subset() (host string, labels map[string]any) {
	name := subsetOf.FindStringSubmatch(o.finding.Message)
	spec, _ := o.scenario.Bundles[o.cluster][o.finding.Resource]["spec"].(map[string]any)
	subsets, _ := spec["subsets"].([]any)
	for _, entry := range subsets {
		subset, _ := entry.(map[string]any)
		if name != nil && subset["name"] == name[1] {
			labels, _ = subset["labels"].(map[string]any)
		}
	}
	return fmt.Sprint(spec["host"]), labels
}

func subsetSelectsEndpoints(o occurrence) bool {
	host, labels := o.subset()
	for _, object := range o.scenario.Bundles[o.cluster] {
		spec, _ := object["spec"].(map[string]any)
		hosts, _ := spec["hosts"].([]any)
		if object["kind"] != "ServiceEntry" || !slices.Contains(hosts, any(host)) {
			continue
		}
		endpoints, _ := spec["endpoints"].([]any)
		for _, entry := range endpoints {
			endpoint, _ := entry.(map[string]any)
			have, _ := endpoint["labels"].(map[string]any)
			if selects(labels, func(name string) string { value, _ := have[name].(string); return value }) {
				return true
			}
		}
	}
	return false
}

func subsetSelectsWatchedPods(o occurrence) bool {
	_, labels := o.subset()
	namespace := strings.Split(o.finding.Resource, "/")[1]
	var own scenario.Cluster
	ids := map[string]string{}
	for _, c := range o.scenario.Clusters {
		ids[c.Name] = c.IstioID
		if c.Name == o.cluster {
			own = c
		}
	}
	watched := func(name string) bool {
		isRemote := func(c scenario.Cluster) bool {
			return c.Name == name && c.ControlPlane == o.cluster && name != o.cluster
		}
		return name == o.cluster && len(own.Watched) > 0 || slices.Contains(own.Watched, name) ||
			slices.ContainsFunc(o.scenario.Clusters, isRemote)
	}
	return slices.ContainsFunc(o.scenario.Pods, func(p scenario.Pod) bool {
		return p.Namespace == namespace && watched(p.Cluster) && selects(labels, func(name string) string {
			if name == "topology.istio.io/cluster" {
				return ids[p.Cluster]
			}
			return p.Labels[name]
		})
	})
}

func selects(labels map[string]any, have func(string) string) bool {
	for name, value := range labels {
		if have(name) != value {
			return false
		}
	}
	return len(labels) > 0
}

func exportedToGatewaysOnly(o occurrence) bool {
	spec, _ := o.scenario.Bundles[o.cluster][o.finding.Resource]["spec"].(map[string]any)
	exportTo, _ := spec["exportTo"].([]any)
	for _, namespace := range exportTo {
		if !o.gatewayNamespace(fmt.Sprint(namespace)) {
			return false
		}
	}
	return len(exportTo) > 0
}

// gatewayNamespace reports whether cross-cluster gateways, and no other pods, run in the namespace.
func (o occurrence) gatewayNamespace(namespace string) bool {
	runs := false
	for _, c := range o.scenario.Clusters {
		runs = runs || slices.ContainsFunc(c.Gateways, func(g scenario.Gateway) bool { return g.Workload.Namespace == namespace })
	}
	return runs && !slices.ContainsFunc(o.scenario.Pods, func(p scenario.Pod) bool { return p.Namespace == namespace })
}
