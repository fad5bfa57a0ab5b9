package sandbox

import (
	"os"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowedCalls are the system calls of a Go program (with cgo, also of the C library) that computes
// and uses open pipes. All others fail with EPERM, except fileCalls.
var allowedCalls = []string{
	// pipes
	"read", "write", "close", "fcntl", "pread64",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2",
	// memory
	"mremap", "munmap", "madvise", "mincore", "brk",
	// threads and signals within the process
	"futex", "sched_yield", "sched_getaffinity", "set_robust_list", "rseq", "set_tid_address", "membarrier",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "getpid", "gettid",
	"exit", "exit_group", "restart_syscall",
	// time
	"nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time",
	"timer_create", "timer_settime", "timer_delete", "setitimer",
	// the rest
	"getrandom", "getrusage", "getrlimit", "setrlimit",
}

// fileCalls fail with ENOENT, as on an empty disk. Libraries that look for an optional file
// continue without it, but would fail on EPERM.
var fileCalls = []string{
	"open", "openat", "openat2", "stat", "lstat", "newfstatat", "fstatat64", "statx",
	"access", "faccessat", "faccessat2", "readlink", "readlinkat",
}

// loadSeccompFilter loads the filter on all current and future threads.
func loadSeccompFilter() error {
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	exists := func(name string) bool { _, ok := info.SyscallNames[name]; return ok }
	existing := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !exists(name) })
	}
	when := func(name string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: conditions}
	}
	self := uint64(os.Getpid())
	conditional := []seccomp.NameWithConditions{
		// Only threads, no processes.
		when("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}),
		// No new executable memory.
		when("mmap", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}),
		when("mprotect", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}),
		// Only signals to itself, with which Go preempts goroutines.
		when("tgkill", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: self}),
		// Only its own limits, which it can only lower.
		when("prlimit64", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: 0}),
		// Go names its memory areas.
		when("prctl", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: unix.PR_SET_VMA}),
	}
	fail := func(errno unix.Errno) seccomp.Action { return seccomp.ActionErrno | seccomp.Action(errno) }
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			// ActionErrno without a number is EPERM.
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				// A filter cannot see the flags of clone3. The C library falls back to clone.
				{Names: []string{"clone3"}, Action: fail(unix.ENOSYS)},
				{Names: existing(fileCalls), Action: fail(unix.ENOENT)},
				{
					Names:              existing(allowedCalls),
					NamesWithCondtions: slices.DeleteFunc(conditional, func(c seccomp.NameWithConditions) bool { return !exists(c.Name) }),
					Action:             seccomp.ActionAllow,
				},
			},
		},
	})
}
