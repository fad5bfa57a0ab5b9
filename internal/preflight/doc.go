// Package preflight compares a cluster with the repository's assumptions about it: other Gateways
// that overlap with the bundle's, and gateway addresses that differ from the inventory.
//
// Input: a [render.Bundle], the [clustercache.State] of the cluster, and the [plans.Plan] made of both.
// Output: a [Problem] for each difference. [Check] is a pure function.
//
// A problem that the plan would cause blocks the whole plan, because half a mesh is worse than the
// old one. A problem that exists already is only reported.
package preflight
