// Package plans answers: what must be written so that the cluster equals the bundle, and may it be?
//
// In: a [render.Bundle], the live objects of the managed kinds ([clustercache.State]), [Options]
// of the MeshSync and the [Memory] of earlier plans. Out: a [Plan], a plain value with every
// create, update, delete, skip and refusal, its order and its reason. [Planner] keeps the memory
// of one MeshSync and plans only what changed.
//
// Invariant: a plan is pure. It sends no request, reads no clock and changes none of its inputs.
// The same inputs give the same plan, so a dry run shows what happens. See [rules] for its steps.
package plans
