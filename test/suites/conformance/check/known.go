package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// alarm is a finding of the analyzers that is wrong, and where it is.
type alarm struct {
	code, reason string
	// false tells whether this finding is wrong here.
	false func(scene) bool
}

// scene is a finding with all that it can be judged by.
type scene struct {
	world   *world.World
	cluster string
	finding Finding
}

var alarms = []alarm{
	{
		"IST0173", "the analyzer looks for pods of the same cluster only; the subset selects endpoints of a ServiceEntry, gateways for instance",
		subsetSelectsEndpoints,
	},
	{
		"IST0173", "the analyzer looks for pods of the same cluster only, and without the label of the cluster that Istio gives to pods; the subset selects pods of the clusters that one istiod reads",
		subsetSelectsWatchedPods,
	},
	{
		"IST0101", "the Secret of a public certificate is the platform's, and not in the repository",
		func(s scene) bool { return strings.Contains(s.finding.Message, "credentialName") },
	},
	{
		"IST0134", "the ServiceEntry is shown to gateways only, which go by SNI and never by address",
		shownToGatewaysOnly,
	},
}

// Known tells false alarms from findings, and remembers which entries of the table were of use.
type Known struct {
	mutex sync.Mutex
	hits  map[string]bool
}

// Real are the findings that are no false alarms.
func (k *Known) Real(w *world.World, cluster string, findings []Finding) []Finding {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool {
		for _, a := range alarms {
			if a.code == f.Code && a.false(scene{w, cluster, f}) {
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

// Unused are the entries of the table that no finding needed.
func (k *Known) Unused() []string {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	var unused []string
	for _, a := range alarms {
		if name := a.code + ": " + a.reason; !k.hits[name] {
			unused = append(unused, name)
		}
	}
	return unused
}

var subsetOf = regexp.MustCompile(`^The Subset (\S+) defined`)

// subset are host and labels of the subset that the finding is about.
func (s scene) subset() (host string, labels map[string]any) {
	name := subsetOf.FindStringSubmatch(s.finding.Message)
	spec, _ := s.world.Bundles[s.cluster][s.finding.Resource]["spec"].(map[string]any)
	subsets, _ := spec["subsets"].([]any)
	for _, entry := range subsets {
		subset, _ := entry.(map[string]any)
		if name != nil && subset["name"] == name[1] {
			labels, _ = subset["labels"].(map[string]any)
		}
	}
	return fmt.Sprint(spec["host"]), labels
}

func subsetSelectsEndpoints(s scene) bool {
	host, labels := s.subset()
	for _, object := range s.world.Bundles[s.cluster] {
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

func subsetSelectsWatchedPods(s scene) bool {
	_, labels := s.subset()
	namespace := strings.Split(s.finding.Resource, "/")[1]
	var own world.Cluster
	ids := map[string]string{}
	for _, c := range s.world.Clusters {
		ids[c.Name] = c.IstioID
		if c.Name == s.cluster {
			own = c
		}
	}
	watched := func(name string) bool {
		return name == s.cluster && len(own.Watched) > 0 || slices.Contains(own.Watched, name) || slices.ContainsFunc(s.world.Clusters, func(c world.Cluster) bool {
			return c.Name == name && c.ControlPlane == s.cluster && name != s.cluster
		})
	}
	return slices.ContainsFunc(s.world.Pods, func(p world.Pod) bool {
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

func shownToGatewaysOnly(s scene) bool {
	spec, _ := s.world.Bundles[s.cluster][s.finding.Resource]["spec"].(map[string]any)
	exportTo, _ := spec["exportTo"].([]any)
	for _, namespace := range exportTo {
		if !s.gatewayNamespace(fmt.Sprint(namespace)) {
			return false
		}
	}
	return len(exportTo) > 0
}

// gatewayNamespace is one where cross-cluster gateways run and no pod of the world.
func (s scene) gatewayNamespace(namespace string) bool {
	runs := false
	for _, c := range s.world.Clusters {
		runs = runs || slices.ContainsFunc(c.Gateways, func(g world.Gateway) bool { return g.Workload.Namespace == namespace })
	}
	return runs && !slices.ContainsFunc(s.world.Pods, func(p world.Pod) bool { return p.Namespace == namespace })
}
