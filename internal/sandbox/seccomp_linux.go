package sandbox

import (
	"os"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// computing are the system calls that a Go program (or, where it was built with cgo, the C library below it) makes while it
// computes and talks over pipes that it has. Everything else is refused with EPERM, but for looking.
var computing = []string{
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

// looking are the system calls that look for a file. They are told that there is none, as on an empty disk: a library that only
// asks whether a file is there goes on without it, where a refusal would end it.
var looking = []string{
	"open", "openat", "openat2", "stat", "lstat", "newfstatat", "fstatat64", "statx",
	"access", "faccessat", "faccessat2", "readlink", "readlinkat",
}

// filterSystemCalls is in force on all threads, now and later.
func filterSystemCalls() error {
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	exists := func(name string) bool { _, ok := info.SyscallNames[name]; return ok }
	here := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !exists(name) })
	}
	when := func(name string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: conditions}
	}
	self := uint64(os.Getpid())
	conditional := []seccomp.NameWithConditions{
		// A thread, not a process.
		when("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}),
		// No code but the program's own.
		when("mmap", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}),
		when("mprotect", seccomp.Condition{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}),
		// A signal to itself only: that is how Go interrupts a goroutine.
		when("tgkill", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: self}),
		// Its own limits only, which it can lower.
		when("prlimit64", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: 0}),
		// Go gives its memory areas names.
		when("prctl", seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: unix.PR_SET_VMA}),
	}
	refuse := func(errno unix.Errno) seccomp.Action { return seccomp.ActionErrno | seccomp.Action(errno) }
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			// The library makes that EPERM.
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				// Its flags lie in memory, where no filter sees them; the C library falls back to clone.
				{Names: []string{"clone3"}, Action: refuse(unix.ENOSYS)},
				{Names: here(looking), Action: refuse(unix.ENOENT)},
				{
					Names:              here(computing),
					NamesWithCondtions: slices.DeleteFunc(conditional, func(c seccomp.NameWithConditions) bool { return !exists(c.Name) }),
					Action:             seccomp.ActionAllow,
				},
			},
		},
	})
}
