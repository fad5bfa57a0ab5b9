// Package expected computes from the manifests of a mesh repository where each call must arrive: at
// which pods, in which order and share, through which gateway, with which identity; and which calls
// must not arrive.
//
// In: the manifests ([repo.Mesh]) and the platform ([scenario.Scenario]; [Platform] derives the
// default one from the manifests). Out: [Call]s with their expected result, and [Compare], which
// compares it with a trace.
//
// Invariant: this package never reads a rendered resource and imports no production code. It is an
// oracle in terms of clusters, pods and versions, so it cannot repeat a mistake of a template.
package expected
