// Package demo runs Isthmus on one machine, shows what it does, and checks it. It takes less than a
// minute.
//
// In: the path of isthmus-controller. Out: text for a terminal or a log, and an error that names
// the first check that failed. internal/testcluster provides three API servers, which stand for
// three clusters, and a Git server with examples/shop. One controller per cluster runs as a process
// of its own, with the rights of config/rbac.
//
// Every check reads the API servers. The status that a controller reports is never enough.
// Everything that the demo started is stopped and removed at its end, also after an error or a
// signal.
package demo
