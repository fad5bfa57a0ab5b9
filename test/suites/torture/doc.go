// Package torture asks one question again and again: whatever went wrong, is every cluster as the repository says once it is over?
//
// In: three clusters (real API servers over a real etcd), a real Git server, the command isthmus-controller as processes that are started again
// when they end, as a kubelet does, and a seed. Out: some hundred faults, one after the other, each drawn from the seed and its number alone, and
// while each of them lasts a commit.
//
// After every fault all clusters must, within a deadline, hold exactly what plain CUE exports from the branch's head, and nothing else with our
// marks; foreign objects have the resourceVersion that they had, foreign labels on our objects are there; and at no moment was a host absent that
// every commit has.
//
// Faults are real where they can be: processes are killed and stopped by signals, a full disk is a file system without space, a refusal is an
// admission policy of the API server, or a webhook that it asks and that refuses or never answers. What happens on the way between two processes is
// done by relays (relay_test.go, gate_test.go). A clock that jumps is the wall clock as the controllers' processes read it: they are built with a
// package time that adds to it what the test says (clock_test.go); the machine's clock, and the monotonic one, go on. After a jump nobody may
// write or look without end, either.
//
//	go test ./test/suites/torture/...          each quick sort of fault once, in some two minutes
//	make torture                        300 faults (FAULTS=n), with the seed printed
//	make torture SEED=n                 the same faults again
//	... -run 'TestFaults/042'           one of them alone
//	ISTHMUS_LOGS=dir ...                keeps the controllers' logs there
package torture
