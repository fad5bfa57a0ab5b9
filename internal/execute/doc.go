// Package execute answers: how is a plan written to the cluster?
//
// In: a [plans.Plan] and a client. Out: a [Result] with the outcome of every write.
//
// Invariant: the executor decides nothing. It writes what the plan says, in the order of its stages,
// and stops the writes that depend on a failed one. A create is a POST, an update a PUT with
// resourceVersion, a delete has uid and resourceVersion: a race with another writer is lost cleanly,
// and the next run plans again. Before it writes, it checks the lease and, on request, its
// permissions ([Applier.MissingPermissions]).
package execute
