package evaluate

import (
	"fmt"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

// concerned are the services that the cluster has to do with, sorted: those that its resources may be made of, and those whose calls they
// let in. What is wrong with any other is the business of other clusters, and of whoever checks the repository without a cluster.
func (r *run) concerned() []string {
	if r.options.Cluster == "" || r.options.CheckAll {
		return r.around.names
	}
	near := map[string]bool{}
	for c := range r.mesh.Clusters {
		near[c] = mesh.Relate(r.mesh, r.options.Cluster, c) != mesh.Gatewayed
	}
	here := make(map[string]bool, len(r.around.names))
	for _, name := range r.around.names {
		for c := range r.services[name].Placement {
			if near[c] {
				here[name] = true
				break
			}
		}
	}
	isHere := func(name string) bool { return here[name] }
	concerned := make(map[string]bool, len(r.around.names))
	for _, name := range r.around.names {
		if here[name] {
			concerned[name] = true
			for _, caller := range r.around.callers[name] {
				concerned[caller] = true
			}
			continue
		}
		expose := r.services[name].Expose
		exposed := expose != nil && slices.ContainsFunc(expose.Clusters, func(c string) bool { return near[c] })
		// What changed is judged alike everywhere: a cluster that it leaves must not believe it if the one that it goes to does not.
		if exposed || slices.ContainsFunc(r.around.callers[name], isHere) || r.options.LastKnownGood != nil && !r.unchanged(name) {
			concerned[name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(r.around.names), func(name string) bool { return !concerned[name] })
}

// serviceKey says all that the rendering of a service depends on.
func (r *run) serviceKey(name string) cache.Key {
	keys := &r.memory.keys
	if keys.base != r.base || keys.cluster != r.options.Cluster || keys.of == nil {
		*keys = serviceKeys{base: r.base, cluster: r.options.Cluster, of: map[string]serviceKey{}}
	}
	r.from = r.madeOf(r.from[:0], name)
	last, ok := keys.of[name]
	if !ok || !slices.Equal(last.from, r.from) {
		last = serviceKey{from: slices.Clone(r.from), key: r.newServiceKey(name)}
		keys.of[name] = last
	}
	return last.key
}

// standsIn is for a service that is broken and never was good.
var standsIn = &known{}

// madeOf appends what newServiceKey looks at.
func (r *run) madeOf(to []*known, name string) []*known {
	k := r.services[name]
	look := func(names []string) {
		for _, n := range names {
			other := r.services[n]
			if other == nil && r.isStandIn(n) {
				other = standsIn
			}
			to = append(to, other)
		}
		to = append(to, nil)
	}
	to = append(to, k)
	look(r.around.callers[name])
	look(k.callees)
	look(k.Authorization.Callers)
	look(r.around.rivals[name])
	return to
}

func (r *run) newServiceKey(name string) cache.Key {
	k := r.services[name]
	parts := [][]byte{r.base[:], []byte(r.options.Cluster), []byte(name), k.key[:]}
	for _, caller := range r.around.callers[name] {
		other := r.services[caller]
		parts = append(parts, []byte(caller), other.facts, other.need(name))
	}
	parts = append(parts, nil)
	for _, callee := range k.callees {
		switch other := r.services[callee]; {
		case other != nil:
			parts = append(parts, []byte(callee), other.withPorts)
		case r.isStandIn(callee):
			parts = append(parts, []byte(callee), standIn)
		}
	}
	parts = append(parts, nil)
	for _, allowed := range k.Authorization.Callers {
		parts = append(parts, fmt.Append(nil, r.services[allowed] != nil, r.isStandIn(allowed)))
	}
	for _, rival := range r.around.rivals[name] {
		parts = append(parts, []byte(rival), r.services[rival].key[:])
	}
	return r.key("service", parts...)
}
