// Package apply answers: what must be written so that the cluster equals the bundle, and may it be?
//
// In: a [render.Bundle] and the live objects of the managed kinds, as [Live] sees them. [Make] turns them into
// a [Plan], a plain value with every create, update, delete, hold and refusal and its reason; [Applier]
// carries a plan out. The plan decides, the applier only writes, so what a dry run shows is what happens.
//
// Ownership is on the object and nowhere else: the part-of label of the ApplySet specification (KEP-3659)
// and the field manager. Changing an object of the bundle needs either mark, deleting one needs both, and an
// object with neither is foreign and never touched. Creating is a POST and updating a PUT with
// resourceVersion, so a race with anyone is lost cleanly and tried again from the new state.
//
// [Live] watches, and [Planner] makes the plans of a controller: each from what changed since the one before, and the same as [Make] would
// make of everything. One run of a controller is:
//
//	view, err := planner.Look(ctx, bundle, options) // from the watch cache: no request
//	plan := planner.Make(bundle, view, options)     // no request either
//	result, err := applier.Apply(ctx, plan)         // a request for each write, none for what is equal
//	planner.Applied(result.Known)                         // so that the next run can tell drift from a commit
package execute
