// Package render makes the bundle of one cluster: all resources that it gets from one commit.
//
// Input: a [mesh.View], and the objects that the CUE templates rendered. Output: a [Bundle] with
// each resource, its service, its side and its hash. All resources are validated against the
// schemas and CEL rules of Istio's CRDs, as an API server would do.
//
// A Bundle is a value: equal commits give equal bundles, byte for byte, and only Revision names the
// commit.
package render
