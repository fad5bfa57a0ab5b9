// Package render answers: which resources does this cluster get from this commit?
//
// In: a [mesh.View] and what the CUE template made of it. Out: a [Bundle], every resource by key, in a
// fixed order, with the service that it stems from and the side that it serves, its content hash, checked
// against the schemas and CEL rules of Istio's CRDs as an API server would check it. A Bundle is a value:
// equal commits give equal bundles, byte for byte, and nothing in it names the commit.
package render
