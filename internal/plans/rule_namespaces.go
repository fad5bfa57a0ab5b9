package plans

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// planNamespaces finds the namespaces that the bundle needs and that are absent, and the
// namespaces that Isthmus created and no longer needs.
func planNamespaces(d *Draft) {
	d.Plan.Namespaces, d.Plan.UnusedNamespaces = namespacesOf(d.Bundle, d.State, d.Options.Owner)
}

// namespacesOf returns both lists, sorted. A namespace with an object of ours is used, also if that
// object is withdrawn, skipped or about to be deleted: other clusters may still call it. A partial
// state has every object with a mark of ours that is not in the bundle, because the plan before
// had an action for it.
func namespacesOf(bundle *render.Bundle, view clustercache.State, owner ownership.Owner) (missing, unused []string) {
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
	// The namespaces of gateways belong to no service.
	unused = slices.DeleteFunc(unused, func(name string) bool {
		return slices.ContainsFunc(bundle.Resources, func(resource render.Resource) bool { return resource.Key.Namespace == name })
	})
	slices.Sort(missing)
	return slices.Compact(missing), unused
}
