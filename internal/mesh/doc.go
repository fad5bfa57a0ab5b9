// Package mesh answers: what does one cluster publish, what does it call, and who calls it?
//
// In: a [manifest.Mesh] and the name of a cluster. Out: a [View]. It is the only place in Go that knows what
// the relation of two clusters means; the CUE module holds the same knowledge in view.cue, and a test holds
// the two against each other on every example.
package mesh
