package apply

import (
	"fmt"
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
// routes lead to its versions, and these to its endpoints. Nothing else waits, and nothing does that somebody else changed.
func settle(actions []Action, live map[render.Key]*unstructured.Unstructured, options PlanOptions) ([]Action, Sightings) {
	if options.Timing.SettleAfter <= 0 {
		return actions, nil
	}
	reached := reachedToday(live)
	elsewhere := hostsElsewhere(actions, reached)
	wanted := map[string][]string{}
	anew := sets.New[string]()
	for _, action := range actions {
		if !routesCalls(action) {
			continue
		}
		wanted[action.Service] = append(wanted[action.Service], fmt.Sprint(action.Verb, action.Key, action.hash))
		if dependsAnew(action, reached, elsewhere) {
			anew.Insert(action.Service)
		}
	}
	seen := Sightings{}
	out := slices.Clone(actions)
	for service := range anew {
		now := sighting{digest: digestOf(wanted[service]), since: options.Timing.Now}
		if before, ok := options.Timing.Seen[service]; ok && before.digest == now.digest && !before.since.After(now.since) {
			now.since = before.since
		}
		seen[service] = now
		until := now.since.Add(options.Timing.SettleAfter)
		if !options.Timing.Now.Before(until) {
			continue
		}
		for i, action := range out {
			if action.Service == service && routesCalls(action) {
				out[i].Verb, out[i].Until = Wait, until
				out[i].Reason = "another cluster has to offer it first, which sees the commit at another moment; it is written at " + until.UTC().Format(time.RFC3339)
			}
		}
	}
	return out, seen
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
				number := number(fieldsOf(port), "number")
				out = append(out, fmt.Sprint(host, " ", number, " ", address))
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
