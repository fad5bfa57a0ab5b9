package plans

import (
	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// MakeRelease plans the end of a MeshSync with the deletion policy Delete: every object with both
// marks of this owner is deleted. No guard applies, because a user deleted the MeshSync. Objects
// that a user opted out or copied stay. The finalizer may be removed when the plan was carried out
// without an error.
//
// With the policy Orphan there is nothing to plan: the objects keep their marks, and the next
// MeshSync of the cluster claims them.
func MakeRelease(view clustercache.State, owner ownership.Owner) Plan {
	plan := Plan{Owner: owner.ID, Known: Record{}}
	var actions []Action
	for _, object := range view.Objects {
		// Orphans of others are not this owner's to delete: it never claimed them.
		if !owner.Includes(object) {
			continue
		}
		if owner.Ownership(object) == ownership.Owned {
			plan.Owned++
		}
		action := stale(render.KeyOf(object), object, Options{Owner: owner, Prune: true})
		if action.Verb != "" {
			actions = append(actions, action)
		}
	}
	plan.Actions = Sorted(actions)
	return plan
}

// Remaining returns the objects that such a plan deletes and that still exist. The finalizer waits
// until they are gone.
func Remaining(view clustercache.State, owner ownership.Owner) []render.Key {
	var keys []render.Key
	for _, object := range view.Objects {
		ours := owner.Includes(object) && owner.Ownership(object) == ownership.Owned
		if ours && !ownership.OptedOut(object, ownership.AnnotationReconcile) && !ownership.OptedOut(object, ownership.AnnotationPrune) {
			keys = append(keys, render.KeyOf(object))
		}
	}
	return keys
}
