// Package clustercache answers: what does the cluster have?
//
// In: a client and the managed kinds. Out: the [State] of all objects or of a part, from watches
// and without a request, and a notification when another writer changes an object.
//
// Invariant: a state never hides a write of ours: a pending write counts until the watch shows it.
// A kind that may not be read is an error, because a plan without it would delete too much.
package clustercache
