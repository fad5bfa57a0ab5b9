// Package promise says what the manifests of a mesh repository promise: which declared call arrives where, in which order and share, through
// which gateway and as whom, and what must not arrive.
//
// In: the manifests ([repo.Mesh]) and the platform they meet ([world.World], by default made of the same manifests by [Platform]). Out: [Call]s,
// each with what has to come of it, and [Judge], which holds that against a trace. Invariant: nothing here looks at a rendered resource. It is
// written from the owner's side, in terms of clusters, pods and versions, so that a mistake in a template cannot hide in it.
package promise
