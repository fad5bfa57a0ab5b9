// Package gitops gives tests of a whole controller what it stands between: a mesh repository on a real Git server, and a cluster with a
// MeshSync that follows it.
//
// In: files and a cluster of [Start]. Out: a [Repository] to commit to, and a [World] in which a test makes MeshSyncs and waits for what
// their status says. How the controller runs, within the test or as a process of its own, is up to the test; [Build] and [AddController]
// make the command and a user with the rights of an installation, no more and no less.
//
// Invariant: nothing is imitated. git is the real command, and what the world tells is read from the API server and not from the controller.
package gitops
