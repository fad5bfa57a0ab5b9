package plans

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// serviceIndex holds the keys of a bundle by service, so that a plan visits few of thousands.
type serviceIndex struct {
	bundle *render.Bundle
	keys   map[string][]render.Key
}

// reindex moves the index to the next bundle and calls found with each resource that differs, as
// either bundle has it.
func (i *serviceIndex) reindex(last, next *render.Bundle, found func(*render.Resource)) {
	if i.bundle != last {
		i.keys = map[string][]render.Key{}
		for at := range last.Resources {
			i.add(&last.Resources[at])
		}
	}
	i.bundle = next
	differences(last, next, func(was, is *render.Resource) {
		if was != nil {
			i.remove(was)
			found(was)
		}
		if is != nil {
			i.add(is)
			found(is)
		}
	})
}

func (i *serviceIndex) add(resource *render.Resource) {
	i.keys[resource.Service] = append(i.keys[resource.Service], resource.Key)
}

func (i *serviceIndex) remove(resource *render.Resource) {
	keys := slices.DeleteFunc(i.keys[resource.Service], func(key render.Key) bool { return key == resource.Key })
	if len(keys) == 0 {
		delete(i.keys, resource.Service)
		return
	}
	i.keys[resource.Service] = keys
}

// differences calls found with each resource that differs between two bundles; nil stands for a
// resource that a bundle lacks.
func differences(a, b *render.Bundle, found func(was, is *render.Resource)) {
	if a == b {
		return
	}
	x, y := a.Resources, b.Resources
	for len(x) > 0 && len(y) > 0 {
		was, is := &x[0], &y[0]
		switch {
		case was.Key == is.Key:
			if was.Hash != is.Hash {
				found(was, is)
			}
			x, y = x[1:], y[1:]
		case was.Key.String() < is.Key.String():
			found(was, nil)
			x = x[1:]
		default:
			found(nil, is)
			y = y[1:]
		}
	}
	for at := range x {
		found(&x[at], nil)
	}
	for at := range y {
		found(nil, &y[at])
	}
}
