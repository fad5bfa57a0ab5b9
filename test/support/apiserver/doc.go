// Package apiserver starts real API servers for tests, with internal/testcluster, and adds what
// only tests need: restarts, a proxy in front of an API server, and kubectl.
package apiserver
