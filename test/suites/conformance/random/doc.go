// Package random makes mesh repositories from seeds: placements, calls, versions, weights, standbys, states, discovery groups, networks, trust domains,
// protocols, host names and several addresses for gateways, authorization.
//
// In: a seed and a boldness from 1 down to 0. Out: a [Mesh], plain data that writes itself as CUE. The same seed always makes the same mesh. Not
// every mesh is one that isthmus vet accepts; a caller tries less boldly then.
package random
