// Package sandbox runs computations on untrusted input in child processes.
//
// Input: the name of a [Handler] and a request. Output: its response, or a [HandlerError],
// [LimitError], [CrashError] or the cause of the context. The handler runs in a child process of
// the same binary: [Main], called first in main, serves requests if the process was started as such
// a child.
//
// Invariants: when a call returns, its computation has ended. A child that exceeded a limit is dead
// and reaped. No child outlives its parent. A child serves requests one after the other and keeps
// its memory between them.
//
// On Linux a child computes and does nothing else; [Enforced] reports the verified restrictions.
// Other Unix systems only limit time, response and (by the child itself) memory. Windows is not
// supported.
package sandbox
