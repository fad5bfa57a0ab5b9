// Package repo reads a mesh repository twice, in ways that share nothing: the manifests as their owners wrote them, by the CUE API,
// and the resources that the isthmus command makes of them, by running it.
//
// In: a folder. Out: a [Repo] with the typed manifests ([Mesh]) and the bundle of each cluster. Invariant: nothing in a Mesh stems
// from a template, so what is promised from it can be held against the bundles.
package repo
