// Package random generates mesh repositories from seeds. It varies placements, calls, versions,
// weights, standbys, states, discovery groups, networks, trust domains, protocols, authorization,
// and gateways with host names or several addresses.
//
// In: a seed and a variety from 1 down to 0. Out: a [Mesh], plain data that is written as CUE. The
// same seed and variety always give the same mesh. isthmus vet rejects some meshes; the caller then
// retries with less variety.
package random
