// Package syncrun answers: what does one run of a MeshSync evaluate, render and plan?
//
// In: a [source.Snapshot], a MeshSync and what the cluster has. Out: the bundle ([Pipeline]), the
// plan with its preflight problems ([Cluster.Plan]) and, for the command line, the [Preview] of a
// run. The controller and the command line call the same functions, so a preview is what happens.
//
// Invariant: nothing here writes to a cluster or keeps state between runs.
package syncrun
