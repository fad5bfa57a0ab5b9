// Package torture injects random faults and checks that all clusters equal the repository
// afterwards.
//
// In: three clusters (real API servers with a real etcd), a real Git server, isthmus-controller
// processes that are restarted when they end, and a seed. Out: a few hundred faults, one after the
// other. Each is drawn from the seed and its number. A commit is pushed during each fault.
//
// After every fault, within a deadline, each cluster contains exactly the cue export of the branch
// and nothing else with our ownership marks. Foreign objects have the same resourceVersion as
// before. Foreign labels on our objects are kept. A host that every commit defines was never
// absent.
//
// Faults are real where possible. Signals kill and stop processes. A full disk is a file system
// without space. An admission policy or a webhook of the API server rejects writes or does not
// respond. Relays cause network faults (relay_test.go, git_proxy_test.go). A clock that jumps is
// the wall clock of the controller processes: they are built with a patched package time
// (clock_test.go). The clock of the machine and the monotonic clock are not changed. After a jump
// no controller may write or reconcile in a loop.
//
//	go test ./test/suites/torture/...   each quick fault once, in about two minutes
//	make torture                        300 faults (FAULTS=n); the seed is logged
//	make torture SEED=n                 the same faults again
//	... -run 'TestFaults/042'           only fault 42 of that seed
//	ISTHMUS_LOGS=dir ...                keeps the logs of the controllers in dir
package torture
