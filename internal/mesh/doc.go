// Package mesh computes the view of one cluster: the services that run there and the calls that
// they make.
//
// Input: a [manifest.Mesh] and the name of a cluster. Output: a [View]. [Relate] and [Publishers]
// are the only Go code that knows how clusters reach each other. The CUE module has the same rules
// in cluster_relation.cue and cluster_view.cue; tests compare both on all examples and on random
// meshes.
package mesh
