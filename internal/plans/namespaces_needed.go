package plans

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// planNamespaces returns the namespaces that are needed and absent, and those that we once created for nothing
// that is in the bundle any more, nor in the cluster: what is withdrawn or held, or only about to go, may still be called. What carries a mark
// of ours and is not in the bundle is in the view of a part, too, since the last plan had an action for it.
func planNamespaces(bundle *render.Bundle, view clustercache.State, owner ownership.Owner) (missing, unused []string) {
	needed := map[string]bool{}
	for _, name := range bundle.Namespaces {
		needed[name] = true
		if _, exists := view.Namespaces[name]; !exists {
			missing = append(missing, name)
		}
	}
	for _, object := range view.Objects {
		if owner.Ownership(object) != ownership.Foreign {
			needed[object.GetNamespace()] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(view.Namespaces)) {
		namespace := view.Namespaces[name]
		if namespace.CreatedByUs && !namespace.Terminating && !needed[name] {
			unused = append(unused, name)
		}
	}
	// Those of gateways are no service's, and there are many resources.
	unused = slices.DeleteFunc(unused, func(name string) bool {
		return slices.ContainsFunc(bundle.Resources, func(resource render.Resource) bool { return resource.Key.Namespace == name })
	})
	slices.Sort(missing)
	return slices.Compact(missing), unused
}
