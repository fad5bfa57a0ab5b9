// Package order holds the order between clusters against real API servers: expose early, call late, withdraw late.
//
// In: a seed. It gives a mesh of three clusters and a history of random commits: services move, versions come and go, gateways change their
// addresses, clusters are drained and come back. Three controllers, each with its own API server and one clock that the test moves on, see each
// commit at another moment, restart, and are held up for as long as the settings allow.
//
// Invariant: after every single write to any of the clusters, what a cluster calls is offered where it calls it. The same histories without the
// rule, or with half of it, break that; so the check can fail.
//
//	ISTHMUS_ORDER_SEED=7        another history
//	ISTHMUS_ORDER_MOVES=300     a longer one
//	ISTHMUS_ORDER_WITHOUT=a,b   a history without some sorts of changes, to make a failing one smaller
package order
