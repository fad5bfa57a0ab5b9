// Package testcluster starts clusters and a Git server on this machine, for the demo and for tests.
//
// In: the names of the clusters and their CRDs. Out: a [Fleet] of kube-apiserver processes that
// share one etcd. Each [Cluster] has an administrator and can have users with exactly the rights
// that are given. A [GitServer] serves repositories over HTTP.
//
// There are no other components of Kubernetes: nothing runs pods, and a deleted namespace stays
// Terminating. The processes are killed by [Fleet.Stop], and their data is removed.
//
// The package is part of the isthmus command, so it uses neither envtest nor any other test code.
package testcluster
