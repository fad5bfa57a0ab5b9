// Package meshsync keeps one cluster equal to what its MeshSync says.
//
// In: a [v1alpha1.MeshSync]. Out: Istio resources equal to the repository's, and a status that says so, or says what
// stands in the way and what was left untouched. Reconcile is one sentence: fetch, evaluate, view, render, plan, apply;
// each step is a package under internal/ and stands here behind a one-method seam.
//
// What keeps it honest:
//   - A step that fails ends the run, and what was applied before stays as it was; somebody's edit of it is still
//     undone, against the last bundle that was good.
//   - A run ends in exactly one [outcome], and report.go is the only place that turns it into conditions, events,
//     metrics and the time of the next run.
//   - Nothing is asked of the API server when nothing changed: drift is seen by watching, a commit that was rendered
//     is not rendered again, and a status that is the same is not written.
package meshsync
