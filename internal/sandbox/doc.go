// Package sandbox answers: how does a computation on somebody else's input end, and touch nothing?
//
// In: the name of a [Handler] and a request. Out: its response, or why there is none: what the handler said
// ([HandlerError]), a limit that it went over ([LimitError]), how its process died ([CrashError]), or the context's end.
// The handler runs in a child process of the same binary, which can compute and answer, and nothing else: [Main], called
// first thing by the program, turns the process into that child if it was started as one.
//
// Invariant: when a call returns, its computation has ended; what went over a limit is dead and reaped, and takes
// neither this process's memory nor its processor any more. A child does not outlive its parent.
//
// On Linux the child has no environment, no file descriptor but its pipes and no privilege to gain. A seccomp filter leaves
// it the system calls of a computing Go program: none that opens a file, makes a socket, starts a program or signals
// another process; a file that it looks for is never there. Landlock, from Linux 5.13 on, says the same of files, and later kernels of TCP, once more. Both
// are at hand without a privilege, in a pod with the RuntimeDefault profile and no capabilities as well. What is in force was
// tried out by the child, not assumed: [Enforced]. Network namespaces are not used; they need a privilege that such a pod lacks.
//
// On other Unix systems the child is a process with an empty environment that can be killed: wall clock, size of the answer and, as far as
// the child can measure itself, memory are bounded; the processor's time, files and network are not. On Windows, which
// hands no pipes to a child in this way, a child does not start.
//
// A child serves one request after the other. What a handler leaves behind in its memory, the next one finds.
package sandbox
