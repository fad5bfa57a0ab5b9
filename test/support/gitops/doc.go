// Package gitops provides the environment of a controller in a test: a mesh repository on a real
// Git server, and a real API server with a MeshSync that follows the repository.
//
// In: files and a cluster of [Start]. Out: a [Repository] to commit to, and an [Env] in which a
// test creates MeshSyncs and waits for their status. A test may run the controller in its own
// process, or as a [Process]. AddController of the cluster creates a user with exactly the rights
// of an installation.
//
// Invariant: git and isthmus-controller are the real commands, and the state of a cluster is read
// from its API server.
package gitops
