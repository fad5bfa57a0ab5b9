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

// Sightings say, by service, since when it is wanted what another cluster has to offer. They live in memory: after a restart it waits anew.
type Sightings map[string]map[string]time.Time

// settle has what newly depends on another cluster wait until that one has had the time to offer it. A service's routing waits as a whole: its
// routes lead to its versions, and these to its endpoints; and what it has been reached by until then stays. Nothing else waits, and
// nothing does that somebody else changed.
func settle(
	actions []Action, live map[render.Key]*unstructured.Unstructured, owned int, options PlanOptions,
) ([]Action, Sightings) {
	if options.Timing.RoutingDelay <= 0 || options.Timing.First && owned == 0 || !slices.ContainsFunc(actions, routesCalls) {
		return actions, nil
	}
	reached := reachedToday(live)
	elsewhere := hostsElsewhere(actions, reached)
	needs := map[string]sets.Set[string]{}
	for _, action := range actions {
		if !routesCalls(action) {
			continue
		}
		for _, need := range needsOf(action, reached, elsewhere) {
			if needs[action.Service] == nil {
				needs[action.Service] = sets.New[string]()
			}
			needs[action.Service].Insert(need)
		}
	}
	if len(needs) == 0 {
		return actions, nil
	}
	seen := Sightings{}
	waits := map[string]time.Time{}
	for service, all := range needs {
		seen[service] = map[string]time.Time{}
		for need := range all {
			// Each has its own time: a service that keeps changing does not begin to wait anew with every commit.
			since := options.Timing.Now
			if before, ok := options.Timing.Seen[service][need]; ok && before.Before(since) {
				since = before
			}
			seen[service][need] = since
			if until := since.Add(options.Timing.RoutingDelay); options.Timing.Now.Before(until) && until.After(waits[service]) {
				waits[service] = until
			}
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

// reaches are the endpoints of an entry in other clusters, each with the host, the port that is called, the port there, and the version.
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
				name, _ := fieldsOf(port)["name"].(string)
				out = append(out, fmt.Sprint(host, " ", number(fieldsOf(port), "number"), " ", address, " ", fieldsOf(fields, "ports")[name], " ", versionOf(fields)))
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

// needsOf are the endpoints and versions in other clusters that an action leads to and that callers here did not have.
func needsOf(action Action, reached, elsewhere sets.Set[string]) []string {
	if action.desired == nil {
		return nil
	}
	var needs []string
	switch action.Key.Kind {
	case "ServiceEntry":
		for _, endpoint := range reaches(action.desired) {
			if !reached.Has(endpoint) {
				needs = append(needs, endpoint)
			}
		}
	case "DestinationRule":
		had := sets.New[string]()
		if action.live != nil {
			had = subsetsOf(action.live)
		}
		if elsewhere.HasAny(hostsOf(action.desired)...) {
			for name := range subsetsOf(action.desired).Difference(had) {
				needs = append(needs, action.Key.String()+" "+name)
			}
		}
	}
	return needs
}

// versionOf is what subsets pick an endpoint by.
func versionOf(endpoint map[string]any) string {
	labels := maps.Clone(fieldsOf(endpoint, "labels"))
	maps.DeleteFunc(labels, func(key string, _ any) bool {
		return strings.HasPrefix(key, "isthmus.dev/") || strings.HasPrefix(key, "security.istio.io/")
	})
	return text(labels)
}

func subsetsOf(rule *unstructured.Unstructured) sets.Set[string] {
	out := sets.New[string]()
	for _, subset := range listOf(fieldsOf(rule.Object, "spec"), "subsets") {
		name, _ := fieldsOf(subset)["name"].(string)
		out.Insert(name)
	}
	return out
}
