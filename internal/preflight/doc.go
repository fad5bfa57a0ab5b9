// Package preflight answers: is this cluster as the repository takes it to be?
//
// In: a [render.Bundle], the [apply.View] of the cluster, and the [apply.Plan] that was made of both. Out: each [Problem] of what only
// a cluster shows and no commit, with what to do about it. Pure.
//
// A problem that the plan would bring about blocks it as a whole: half of a mesh is worse than the old one. One that
// is there anyway is told and holds nothing up.
package preflight
