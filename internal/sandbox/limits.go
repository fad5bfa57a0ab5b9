package sandbox

import (
	"fmt"
	"time"
)

// Limits bound one call. A zero field stands for its default.
type Limits struct {
	// Memory is what the child may have resident of its own, in bytes: neither its program's code, which it shares with
	// its parent, nor address space that it only reserved. 512 MiB by default. It is measured every few milliseconds; a jump in
	// between is stopped by the kernel at twice as much.
	Memory int64
	// CPU is the processor time of one call, all threads together; 30 s by default.
	CPU time.Duration
	// Time is the wall clock of one call; 1 min by default.
	Time time.Duration
	// Input and Output are the sizes of a request and of a response in bytes; 256 MiB and 64 MiB by default.
	Input, Output int64
	// Threads is how many threads compute at the same time; 2 by default, so that the garbage collector does not stop the computation.
	Threads int
}

const mib = 1 << 20

func (l Limits) withDefaults() Limits {
	if l.Memory <= 0 {
		l.Memory = 512 * mib
	}
	if l.CPU <= 0 {
		l.CPU = 30 * time.Second
	}
	if l.Time <= 0 {
		l.Time = time.Minute
	}
	if l.Input <= 0 {
		l.Input = 256 * mib
	}
	if l.Output <= 0 {
		l.Output = 64 * mib
	}
	if l.Threads <= 0 {
		l.Threads = 2
	}
	return l
}

// environment is all that the child's Go runtime is told. It collects before Memory is reached, instead of dying of garbage.
func (l Limits) environment() []string {
	return []string{
		fmt.Sprintf("GOMEMLIMIT=%d", l.Memory/10*8),
		"GOGC=400",
		fmt.Sprintf("GOMAXPROCS=%d", l.Threads),
		"GOTRACEBACK=single",
	}
}

// formatBytes writes a size as people set it: "512 MiB".
func formatBytes(n int64) string {
	switch {
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
