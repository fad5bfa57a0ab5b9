// Package e2e tests the whole path from a commit in a Git repository to Istio resources in a
// cluster.
//
// Everything is real: API servers, a Git server, and the command isthmus-controller as a process
// with the token of its ServiceAccount and exactly the permissions of config/rbac. The expected
// resources never come from Isthmus. The cue command exports them from a checkout of the commit.
//
// A relay between the controller and its API server records every request (recorder_test.go). It
// can kill the process at a chosen write, so a test does not depend on timing.
package e2e
