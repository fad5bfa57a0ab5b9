package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// restrictSelf permanently removes everything from this process that it does not need to compute.
//
// Neither seccomp nor Landlock needs privileges, so both work in a pod with the RuntimeDefault
// profile and no capabilities. Landlock (Linux 5.13, TCP from 6.7) repeats a part of the seccomp
// filter. Network namespaces would need a privilege.
func restrictSelf(s setup) Enforced {
	// Some settings apply to the current thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var e Enforced
	apply := func(what string, err error) bool {
		if err != nil {
			e.Missing = append(e.Missing, fmt.Sprintf("%s: %v", what, err))
		}
		return err == nil
	}
	// If the container runs out of memory, kill the child first. This is best effort.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	apply("inherited file descriptors", closeInherited())
	e.MemoryLimit = apply("RLIMIT_DATA", limitData(s.Hard))
	go exitOnCPULimit()
	e.CPULimit = apply("RLIMIT_CPU", limitCPU(s.CPU))
	apply("RLIMIT_CORE", limit(unix.RLIMIT_CORE, 0))
	apply("RLIMIT_FSIZE", limit(unix.RLIMIT_FSIZE, 0))
	// No core dump, even if the kernel pipes core dumps to a program, and no debugger of the same
	// user.
	apply("PR_SET_DUMPABLE", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	e.NoNewPrivileges = apply("PR_SET_NO_NEW_PRIVS", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	abi, err := applyLandlock()
	if apply("Landlock", err) {
		e.Landlock = abi
	}
	e.Seccomp = apply("seccomp", loadSeccompFilter())

	err = open()
	e.NoFiles = denied(err) || errors.Is(err, unix.ENOENT) // the seccomp filter returns ENOENT even for /
	e.NoNetwork = denied(socket())
	e.NoPrograms = denied(execute())
	// Loading a filter on all threads can fail without an error, so only the result counts.
	e.Seccomp = e.Seccomp && e.NoNetwork && e.NoPrograms
	return e
}

// closeInherited closes descriptors that the program which started our parent left open. It keeps
// the event descriptors of the Go runtime.
func closeInherited() error {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= responseFD {
			continue
		}
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err != nil || strings.HasPrefix(target, "anon_inode:[event") {
			continue
		}
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("closing %s: %w", target, err)
		}
	}
	return nil
}

// applyLandlock denies everything that Landlock can deny, and returns its ABI version.
func applyLandlock() (abi int, _ error) {
	abi, err := landlocksys.LandlockGetABIVersion()
	if err != nil {
		return 0, fmt.Errorf("not available in this kernel: %w", err)
	}
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return 0, err
	}
	if !denied(open()) {
		return 0, errors.New("a file could still be opened")
	}
	return abi, nil
}

func open() error {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func socket() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// execute always fails: if executing is allowed, the address of the arguments is invalid.
func execute() error {
	path, err := unix.BytePtrFromString("/proc/self/exe")
	if err != nil {
		return err
	}
	const invalidAddress = 1
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), invalidAddress, 0)
	return errno
}

func denied(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

func limit(resource int, n uint64) error {
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n})
}

// limitData limits the memory that the process can allocate in addition, in bytes. RLIMIT_AS does
// not work, because Go reserves far more address space than it uses.
func limitData(more int64) error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	const data = 5 // man 5 proc: size resident shared text lib data dt
	fields := strings.Fields(string(statm))
	if len(fields) <= data {
		return fmt.Errorf("/proc/self/statm has %d fields", len(fields))
	}
	pages, err := strconv.ParseInt(fields[data], 10, 64)
	if err != nil {
		return err
	}
	return limit(unix.RLIMIT_DATA, uint64(pages*int64(os.Getpagesize())+more))
}

// exitOnCPULimit ends the process on SIGXCPU, which Go ignores. The hard limit, at which the kernel
// kills, is not used because it could not be raised again for the next request.
func exitOnCPULimit() {
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	<-over
	os.Exit(exitCPU) //nolint:forbidigo // the child is a program of its own
}

// limitCPU limits the processor time from now on. The kernel counts in seconds. The parent is more
// precise and acts first, so the limit has a margin.
func limitCPU(more time.Duration) error {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return err
	}
	until := time.Duration(used.Utime.Nano()+used.Stime.Nano()) + more + 2*time.Second
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CPU, &l); err != nil {
		return err
	}
	l.Cur = min(uint64(until/time.Second), l.Max)
	return unix.Setrlimit(unix.RLIMIT_CPU, &l)
}
