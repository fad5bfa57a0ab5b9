// Package app has the parts of the controller process that belong to no reconciler.
//
// Input: the configuration of the API server and a manager. Output: the lease of the leader election,
// a [LeaderCheck] that reads it from the API server, and the probes of the manager.
package app
