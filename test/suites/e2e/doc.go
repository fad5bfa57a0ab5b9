// Package e2e holds the main job against the real thing, end to end: a commit in a Git repository becomes Istio
// resources in a cluster.
//
// Nothing is imitated. The command isthmus-controller runs as a process of its own, with the token of its ServiceAccount and
// exactly the rights of config/rbac, against real API servers and a real Git server. What a cluster shall hold is never taken from
// Isthmus: the real cue command exports it from a checkout of the commit.
//
// Between a controller and its API server stands a relay (wire_test.go) that notes every request and can end the
// process at a chosen one, so a test says "killed before its fourth write" and not "killed after 80 ms".
package e2e
