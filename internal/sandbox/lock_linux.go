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

// lockIn takes from this process, for good, all that it does not need to compute, and tells what it could take.
func lockIn(s setup) Enforced {
	// Some of this is set thread by thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var e Enforced
	miss := func(what string, err error) bool {
		if err != nil {
			e.Missing = append(e.Missing, fmt.Sprintf("%s: %v", what, err))
		}
		return err == nil
	}
	// The first to go when the container runs out of memory, rather than the controller. Best effort: an unusual /proc is no reason to say no.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	miss("inherited file descriptors", closeInherited())
	e.MemoryLimit = miss("RLIMIT_DATA", limitData(s.Hard))
	go obeyCPULimit()
	e.CPULimit = miss("RLIMIT_CPU", limitCPU(s.CPU))
	miss("RLIMIT_CORE", limit(unix.RLIMIT_CORE, 0))
	miss("RLIMIT_FSIZE", limit(unix.RLIMIT_FSIZE, 0))
	// No core dump even where the kernel pipes them to a program, and no debugger of the same user.
	miss("PR_SET_DUMPABLE", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	e.NoNewPrivileges = miss("PR_SET_NO_NEW_PRIVS", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	abi, err := restrictFiles()
	if miss("Landlock", err) {
		e.Landlock = abi
	}
	e.Seccomp = miss("seccomp", filterSystemCalls())

	err = open()
	e.NoFiles = refused(err) || errors.Is(err, unix.ENOENT) // what the filter says of the root folder, which is there
	e.NoNetwork = refused(socket())
	e.NoPrograms = refused(execute())
	// Loading a filter on all threads can fail without an error; what the kernel does counts.
	e.Seccomp = e.Seccomp && e.NoNetwork && e.NoPrograms
	return e
}

// closeInherited closes what the program that started our parent left open. Our parent leaves nothing open, and what the Go
// runtime waits for events with is kept.
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

// restrictFiles lets Landlock refuse all that it knows to refuse, and tells which version of it that was.
func restrictFiles() (abi int, _ error) {
	abi, err := landlocksys.LandlockGetABIVersion()
	if err != nil {
		return 0, fmt.Errorf("the kernel has none or does not allow it: %w", err)
	}
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return 0, err
	}
	if !refused(open()) {
		return 0, errors.New("a file could be opened all the same")
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

// execute cannot succeed: where a program may be executed, its arguments are found to be no valid address.
func execute() error {
	path, err := unix.BytePtrFromString("/proc/self/exe")
	if err != nil {
		return err
	}
	const noAddress = 1
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), noAddress, 0)
	return errno
}

func refused(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

func limit(resource int, n uint64) error {
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: n})
}

// limitData lets the process allocate so many bytes more than it has. RLIMIT_AS would be wrong: Go reserves far more
// address space than it uses.
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

// obeyCPULimit ends the process when the kernel says that it is over its limit, which Go by itself pays no heed to. The
// hard limit, at which the kernel kills, could not be raised again for the next request.
func obeyCPULimit() {
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	<-over
	os.Exit(exitCPU) //nolint:forbidigo // the child is a program of its own
}

// limitCPU lets the process compute for so long from now. The kernel counts in seconds; the parent, which is more
// precise, comes first.
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
