// Package demo shows on one machine, in a minute, what Isthmus does, and holds it to that.
//
// In: the path of an isthmus-controller. Out: a story on a terminal or in a log, and nil, or an error that names
// what did not hold. Three real API servers stand for three clusters, examples/shop is served from a real Git
// server on loopback, and three controllers run as processes of their own with the rights of config/rbac. What is
// claimed is checked by reading the API servers; what the controllers say of themselves is never enough.
//
// The story is told in story.go. Whatever was started is stopped and removed when it ends, however it ends.
package demo
