// Package mesh answers: what does one cluster publish, what does it call, and who calls it?
//
// In: a [manifest.Mesh] and the name of a cluster. Out: a [View]. It is the only place in Go that knows what
// the relation of two clusters means; the CUE module holds the same knowledge in relation.cue and view.cue, and
// tests hold the two against each other, on every example and on meshes made at random.
package mesh
