// Package order tests the order of writes in different clusters against real API servers: expose
// early, call late, withdraw late.
//
// In: a seed. It determines a mesh of three clusters and a history of random commits: services
// move, versions are added and removed, gateways change their addresses, clusters are drained and
// restored. Each cluster has its own API server and a simulated controller. Time is a fake clock.
// Controllers see a commit at different times, restart, crash, and are paused for up to the
// configured limits.
//
// Invariant: after every single write to any of the clusters, the called cluster offers every
// service that a caller calls there. Without the delays, or with only one of them, the same
// histories violate the invariant. So the check can fail.
//
//	ISTHMUS_ORDER_SEED=7        another history
//	ISTHMUS_ORDER_MOVES=300     the number of commits
//	ISTHMUS_ORDER_WITHOUT=a,b   a history without these kinds of changes, to reduce a failing one
package order
