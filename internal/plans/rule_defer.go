package plans

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// deferRouting defers routing to endpoints and versions of other clusters until
// [Timing.RoutingDelay] has passed, so that the other cluster can publish them first. All routing
// of a service waits together: its routes lead to its versions, and these to its endpoints. What
// callers reach today stays. Corrections of drift do not wait.
func deferRouting(d *Draft) {
	actions, timing := d.Plan.Actions, d.Options.Timing
	if timing.RoutingDelay <= 0 || timing.FirstSync && d.Plan.Owned == 0 || !slices.ContainsFunc(actions, isCallSideRouting) {
		return
	}
	reached := reachableNow(d.Live)
	elsewhere := remoteHosts(actions, reached)
	needs := map[string]sets.Set[string]{}
	for _, action := range actions {
		if !isCallSideRouting(action) {
			continue
		}
		for _, need := range newDependencies(action, reached, elsewhere) {
			if needs[action.Service] == nil {
				needs[action.Service] = sets.New[string]()
			}
			needs[action.Service].Insert(need)
		}
	}
	if len(needs) == 0 {
		return
	}
	seen := FirstNeeded{}
	waits := map[string]time.Time{}
	for service, all := range needs {
		seen[service] = map[string]time.Time{}
		for need := range all {
			// Each dependency has its own time: a service that changes often does not wait anew each time.
			since := timing.Now
			if before, ok := d.Memory.FirstNeeded[service][need]; ok && before.Before(since) {
				since = before
			}
			seen[service][need] = since
			if until := since.Add(timing.RoutingDelay); timing.Now.Before(until) && until.After(waits[service]) {
				waits[service] = until
			}
		}
	}
	for i, action := range actions {
		switch until, ok := waits[action.Service]; {
		case ok && (isCallSideRouting(action) || action.Verb == Delete && action.Key.Kind == "Service"):
			actions[i] = deferred(action, until)
		case len(waits) > 0 && action.Key.Kind == "Sidecar" && action.Verb == Update && !action.Drift:
			actions[i] = d.deferRemovals(action, slices.MaxFunc(slices.Collect(maps.Values(waits)), time.Time.Compare))
		}
	}
	d.Plan.FirstNeeded = seen
}

func deferred(action Action, until time.Time) Action {
	action.Verb, action.Until, action.Reason = Defer, until, Deferral{Until: until}
	return action
}

// deferRemovals is the update of a Sidecar without its removals: while routing waits, callers
// still use the old hosts.
func (d *Draft) deferRemovals(action Action, until time.Time) Action {
	both := merge.Union(action.Desired, action.Live)
	if both == action.Desired {
		return action
	}
	action.Desired, action.Hash = both, digestOfObject(both)
	if action.Fields = merge.Differences(both, action.Live, d.Options.Owner.ID); len(action.Fields) == 0 {
		return deferred(action, until)
	}
	return action
}

// isCallSideRouting tells whether an action writes routing for callers in this cluster.
func isCallSideRouting(action Action) bool {
	return action.Writes() && !action.Drift && action.Side != render.SidePublish && action.Service != "" && IsRouting(action.Key.Kind) && action.Verb != Claim
}

// reachableNow are the endpoints that callers here reach now; see endpointsOf.
func reachableNow(live map[render.Key]*unstructured.Unstructured) sets.Set[string] {
	reached := sets.New[string]()
	for key, object := range live {
		if key.Kind == "ServiceEntry" {
			reached = reached.Insert(endpointsOf(object)...)
		}
	}
	return reached
}

// endpointsOf lists the endpoints of an entry in other clusters. Each is one line of the host, the
// called port, the address, the port there and the version.
func endpointsOf(entry *unstructured.Unstructured) []string {
	spec := nested.Map(entry.Object, "spec")
	if spec["location"] != "MESH_INTERNAL" {
		return nil
	}
	var out []string
	for _, host := range HostsOf(entry) {
		for _, endpoint := range nested.List(spec, "endpoints") {
			fields := nested.Map(endpoint)
			address, _ := fields["address"].(string)
			if strings.HasSuffix(address, ".svc.cluster.local") {
				continue // pods of this cluster
			}
			for _, port := range nested.List(spec, "ports") {
				name, _ := nested.Map(port)["name"].(string)
				out = append(out, fmt.Sprint(host, " ", merge.PortNumber(port, "number"), " ", address, " ", nested.Map(fields, "ports")[name], " ", versionOf(fields)))
			}
		}
	}
	return out
}

// remoteHosts are the hosts that have, or will have, endpoints in other clusters.
func remoteHosts(actions []Action, reached sets.Set[string]) sets.Set[string] {
	hosts := sets.New[string]()
	insert := func(endpoint string) {
		host, _, _ := strings.Cut(endpoint, " ")
		hosts.Insert(host)
	}
	for endpoint := range reached {
		insert(endpoint)
	}
	for _, action := range actions {
		if action.Key.Kind == "ServiceEntry" && action.Desired != nil {
			for _, endpoint := range endpointsOf(action.Desired) {
				insert(endpoint)
			}
		}
	}
	return hosts
}

// newDependencies are the endpoints and versions in other clusters that an action needs and that
// callers here could not reach before.
func newDependencies(action Action, reached, elsewhere sets.Set[string]) []string {
	if action.Desired == nil {
		return nil
	}
	var needs []string
	switch action.Key.Kind {
	case "ServiceEntry":
		for _, endpoint := range endpointsOf(action.Desired) {
			if !reached.Has(endpoint) {
				needs = append(needs, endpoint)
			}
		}
	case "DestinationRule":
		had := sets.New[string]()
		if action.Live != nil {
			had = subsetsOf(action.Live)
		}
		if elsewhere.HasAny(HostsOf(action.Desired)...) {
			for name := range subsetsOf(action.Desired).Difference(had) {
				needs = append(needs, action.Key.String()+" "+name)
			}
		}
	}
	return needs
}

// versionOf is the labels by which subsets select an endpoint, as JSON.
func versionOf(endpoint map[string]any) string {
	labels := maps.Clone(nested.Map(endpoint, "labels"))
	maps.DeleteFunc(labels, func(key string, _ any) bool {
		return strings.HasPrefix(key, "isthmus.dev/") || strings.HasPrefix(key, "security.istio.io/")
	})
	return nested.JSON(labels)
}

func subsetsOf(rule *unstructured.Unstructured) sets.Set[string] {
	out := sets.New[string]()
	for _, subset := range nested.List(nested.Map(rule.Object, "spec"), "subsets") {
		name, _ := nested.Map(subset)["name"].(string)
		out.Insert(name)
	}
	return out
}
