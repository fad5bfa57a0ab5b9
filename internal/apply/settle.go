package apply

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Sightings say, by service, since when what waits is wanted as it is. They live in memory: after a restart it waits anew.
type Sightings map[string]sighting

type sighting struct {
	digest string
	since  time.Time
}

// settle has what newly depends on another cluster wait until that one has had the time to offer it. A service's routing waits as a whole: its
// routes lead to its versions, and these to its endpoints; and what it has been reached by until then stays. Nothing else waits, and
// nothing does that somebody else changed.
func settle(
	actions []Action, live map[render.Key]*unstructured.Unstructured, owned int, bundle *render.Bundle, options PlanOptions,
) ([]Action, Sightings) {
	// Where nothing is ours yet it is a first sync.
	if options.Timing.SettleAfter <= 0 || owned == 0 || !slices.ContainsFunc(actions, routesCalls) {
		return actions, nil
	}
	reached := reachedToday(live)
	elsewhere := hostsElsewhere(actions, reached)
	anew := map[string][]string{}
	for _, action := range actions {
		if routesCalls(action) && dependsAnew(action, reached, elsewhere) {
			anew[action.Service] = nil
		}
	}
	if len(anew) == 0 {
		return actions, nil
	}
	for _, resource := range bundle.Resources {
		if wanted, ok := anew[resource.Service]; ok && resource.Side != render.SidePublish && isRouting(resource.Key.Kind) {
			anew[resource.Service] = append(wanted, resource.Key.String()+" "+resource.Hash)
		}
	}
	seen := Sightings{}
	waits := map[string]time.Time{}
	for service, wanted := range anew {
		now := sighting{digest: digestOf(wanted), since: options.Timing.Now}
		if before, ok := options.Timing.Seen[service]; ok && before.digest == now.digest && !before.since.After(now.since) {
			now.since = before.since
		}
		seen[service] = now
		if until := now.since.Add(options.Timing.SettleAfter); options.Timing.Now.Before(until) {
			waits[service] = until
		}
	}
	out := slices.Clone(actions)
	for i, action := range out {
		switch until, ok := waits[action.Service]; {
		case ok && (routesCalls(action) || action.Verb == Delete && action.Key.Kind == "Service"):
			out[i] = waiting(action, until)
		case len(waits) > 0 && action.Key.Kind == "Sidecar" && action.Verb == Update && !action.Drift:
			out[i] = stillSeeing(action, slices.MaxFunc(slices.Collect(maps.Values(waits)), time.Time.Compare), options)
		}
	}
	return out, seen
}

func waiting(action Action, until time.Time) Action {
	action.Verb, action.Until = Wait, until
	action.Reason = "another cluster has to offer it first, which sees the commit at another moment; it is written at " + until.UTC().Format(time.RFC3339)
	return action
}

// stillSeeing is the update of a Sidecar without what it narrows: while routing waits, what it has been until now is still called.
func stillSeeing(action Action, until time.Time, options PlanOptions) Action {
	both := widen(action.desired, action.live)
	if both == action.desired {
		return action
	}
	action.desired, action.hash = both, digestOfObject(both)
	if action.Fields = differences(both, action.live, options.Owner.ID); len(action.Fields) == 0 {
		return waiting(action, until)
	}
	return action
}

// routesCalls tells whether an action writes what leads callers here to a service.
func routesCalls(action Action) bool {
	return action.writes() && !action.Drift && action.Side != render.SidePublish && action.Service != "" && isRouting(action.Key.Kind) && action.Verb != Claim
}

// reachedToday are the endpoints that entries lead to, by host and endpoint.
func reachedToday(live map[render.Key]*unstructured.Unstructured) sets.Set[string] {
	reached := sets.New[string]()
	for key, object := range live {
		if key.Kind == "ServiceEntry" {
			reached = reached.Insert(reaches(object)...)
		}
	}
	return reached
}

// reaches are the endpoints of an entry in other clusters, each with the host and the port.
func reaches(entry *unstructured.Unstructured) []string {
	spec := fieldsOf(entry.Object, "spec")
	if spec["location"] != "MESH_INTERNAL" {
		return nil
	}
	var out []string
	for _, host := range hostsOf(entry) {
		for _, endpoint := range listOf(spec, "endpoints") {
			fields := fieldsOf(endpoint)
			address, _ := fields["address"].(string)
			if strings.HasSuffix(address, ".svc.cluster.local") {
				continue // pods of this cluster
			}
			for _, port := range listOf(spec, "ports") {
				out = append(out, fmt.Sprint(host, " ", number(fieldsOf(port), "number"), " ", address))
			}
		}
	}
	return out
}

// hostsElsewhere are the hosts that have, or shall have, endpoints in other clusters.
func hostsElsewhere(actions []Action, reached sets.Set[string]) sets.Set[string] {
	hosts := sets.New[string]()
	insert := func(endpoint string) {
		host, _, _ := strings.Cut(endpoint, " ")
		hosts.Insert(host)
	}
	for endpoint := range reached {
		insert(endpoint)
	}
	for _, action := range actions {
		if action.Key.Kind == "ServiceEntry" && action.desired != nil {
			for _, endpoint := range reaches(action.desired) {
				insert(endpoint)
			}
		}
	}
	return hosts
}

// dependsAnew tells whether an action leads to an endpoint, or a version, that callers here did not have, in another cluster.
func dependsAnew(action Action, reached, elsewhere sets.Set[string]) bool {
	if action.desired == nil {
		return false
	}
	switch action.Key.Kind {
	case "ServiceEntry":
		return !reached.HasAll(reaches(action.desired)...)
	case "DestinationRule":
		had := sets.New[string]()
		if action.live != nil {
			had = subsetsOf(action.live)
		}
		return elsewhere.HasAny(hostsOf(action.desired)...) && !had.IsSuperset(subsetsOf(action.desired))
	default:
		return false
	}
}

func subsetsOf(rule *unstructured.Unstructured) sets.Set[string] {
	out := sets.New[string]()
	for _, subset := range listOf(fieldsOf(rule.Object, "spec"), "subsets") {
		name, _ := fieldsOf(subset)["name"].(string)
		out.Insert(name)
	}
	return out
}
