// Package evaluate evaluates the CUE of a commit.
//
// In: a [source.Snapshot] and, to render, the name of a cluster. Out: a [Result] with the manifests
// and the objects of the cluster, and all errors as [manifest.Findings] with service, file and
// line.
//
// Package cueworker evaluates CUE in child processes. Package shard divides the repository and
// caches results. Package freeze replaces broken services with their last known good manifests.
// This package calls them in order (run.go). A repository that cannot be sharded is evaluated in
// one piece, with the same result; then one broken service breaks the commit.
//
// Invariant: this process evaluates no CUE, because CUE cannot be interrupted or limited. When an
// evaluation returns, its child processes have ended. Programs that import this package, including
// tests, begin with [sandbox.Main].
package evaluate
