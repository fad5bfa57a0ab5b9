package sandbox

import (
	"fmt"
	"time"
)

// Limits bound one call. A zero field means its default.
type Limits struct {
	// Memory is the resident memory of the child in bytes, without memory shared with its parent
	// (code) and without reserved address space. Default 512 MiB. It is measured every 10
	// milliseconds; between measurements the kernel enforces twice as much.
	Memory int64
	// CPU is the processor time of one call, summed over all threads. Default 30 s.
	CPU time.Duration
	// Time is the wall-clock time of one call. Default 1 min.
	Time time.Duration
	// Input and Output are the sizes of a request and a response in bytes. Default 256 MiB and 64
	// MiB.
	Input, Output int64
	// Threads is the number of threads that run Go code at the same time. Default 2, so that the
	// garbage collector does not stop the computation.
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

// environment configures the Go runtime of the child to collect garbage before it reaches Memory.
func (l Limits) environment() []string {
	return []string{
		fmt.Sprintf("GOMEMLIMIT=%d", l.Memory/10*8),
		"GOGC=400",
		fmt.Sprintf("GOMAXPROCS=%d", l.Threads),
		"GOTRACEBACK=single",
	}
}

// formatBytes formats a size: "512 MiB".
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
