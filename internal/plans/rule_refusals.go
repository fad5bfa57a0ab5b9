package plans

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// keepBehindRefusals keeps the old objects of a service while a new one is refused: the object
// that replaces them is not there.
func keepBehindRefusals(d *Draft) {
	refused := map[string]render.Key{}
	for _, action := range d.Plan.Actions {
		if action.Verb != Refuse {
			continue
		}
		if first, ok := refused[action.Service]; !ok || action.Key.String() < first.String() {
			refused[action.Service] = action.Key
		}
	}
	d.each(func(action Action) Action {
		if key, ok := refused[action.Service]; ok && action.Verb == Delete {
			action.Verb, action.Reason = Skip, BehindRefusal{Refused: key}
		}
		return action
	})
}

// skipRoutesBehindRefusals skips a VirtualService that routes to versions which its refused
// DestinationRule lacks: those calls would fail. A foreign rule whose content is unknown lacks all.
func skipRoutesBehindRefusals(d *Draft) {
	type lack struct {
		rule    render.Key
		subsets sets.Set[string]
	}
	lacks := map[string]lack{}
	for _, action := range d.Plan.Actions {
		resource, ok := findResource(d.Bundle, action.Key)
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
		return
	}
	d.each(func(action Action) Action {
		if action.Key.Kind != "VirtualService" || action.Drift || action.Verb != Create && action.Verb != Update {
			return action
		}
		for _, host := range HostsOf(action.Desired) {
			if missing := lacks[host].subsets.Intersection(subsetsNamed(action.Desired.Object["spec"])); missing.Len() > 0 {
				action.Verb, action.Fields = Skip, nil
				action.Reason = MissingVersions{Versions: text.Few(sets.List(missing)), Rule: lacks[host].rule}
			}
		}
		return action
	})
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
