// Package repo reads a mesh repository in two independent ways: the manifests by the CUE API, and
// the rendered resources by running the isthmus command.
//
// In: a folder. Out: a [Repo] with the typed manifests ([Mesh]) and the bundle of each cluster.
// Invariant: no value of a Mesh comes from a template, so expectations derived from it can be
// compared with the bundles.
package repo
