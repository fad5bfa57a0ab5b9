// Package shard evaluates a repository in parts: it divides the services into components, evaluates
// their manifests, and checks and renders them in shards.
//
// In: a snapshot ([Session]) and the results of earlier evaluations ([Memory]). Out, stage by
// stage: the [Partition] of the files, the [Loaded] shared values and manifests, and a [Rendering]
// with the objects of one cluster. Findings are assigned to services ([Services].Broken).
//
// Invariant: the result is that of evaluating the repository in one piece. A shard contains all
// data of other services that its checks and objects depend on (service_graph.go), and a cache key
// contains everything that a value was computed from (keys.go).
package shard
