package plans

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// holdBehindRefusals keeps the old objects of a service while a new one cannot be applied: what replaces them
// is not there.
func keepBehindRefusals(actions []Action) []Action {
	refused := map[string]render.Key{}
	for _, action := range actions {
		if action.Verb != Refuse {
			continue
		}
		if first, ok := refused[action.Service]; !ok || action.Key.String() < first.String() {
			refused[action.Service] = action.Key
		}
	}
	held := slices.Clone(actions)
	for i, action := range held {
		if key, ok := refused[action.Service]; ok && action.Verb == Delete {
			held[i].Verb = Skip
			held[i].Reason = fmt.Sprintf("it goes when %s of the same service can be applied", key)
		}
	}
	return held
}

// holdRoutesBehindRefusals keeps the routes of a service while its rule cannot be applied and lacks the versions that they lead to: no call would get
// anywhere. What is not known of somebody else's rule, it lacks.
func skipRoutesBehindRefusals(actions []Action, bundle *render.Bundle) []Action {
	type lack struct {
		rule    render.Key
		subsets sets.Set[string]
	}
	lacks := map[string]lack{}
	for _, action := range actions {
		resource, ok := findResource(bundle, action.Key)
		if action.Verb != Refuse || action.Key.Kind != "DestinationRule" || !ok {
			continue
		}
		rule := resource.Object()
		missing := subsetsOf(rule)
		if action.Live != nil && slices.Equal(HostsOf(action.Live), HostsOf(rule)) {
			missing = missing.Difference(subsetsOf(action.Live))
		}
		for _, host := range HostsOf(rule) {
			lacks[host] = lack{action.Key, missing}
		}
	}
	if len(lacks) == 0 {
		return actions
	}
	held := slices.Clone(actions)
	for i, action := range held {
		if action.Key.Kind != "VirtualService" || action.Drift || action.Verb != Create && action.Verb != Update {
			continue
		}
		for _, host := range HostsOf(action.Desired) {
			if missing := lacks[host].subsets.Intersection(subsetsNamed(action.Desired.Object["spec"])); missing.Len() > 0 {
				held[i].Verb, held[i].Fields = Skip, nil
				held[i].Reason = fmt.Sprintf("it leads to %s, which %s does not have until it can be applied", "version "+abbreviate(sets.List(missing)), lacks[host].rule)
			}
		}
	}
	return held
}

// subsetsNamed are the subsets that a VirtualService leads to, anywhere in it.
func subsetsNamed(value any) sets.Set[string] {
	names := sets.New[string]()
	switch value := value.(type) {
	case map[string]any:
		if name, ok := value["subset"].(string); ok {
			names.Insert(name)
		}
		for _, inner := range value {
			names = names.Union(subsetsNamed(inner))
		}
	case []any:
		for _, inner := range value {
			names = names.Union(subsetsNamed(inner))
		}
	}
	return names
}
