package sandbox

import "syscall"

// program is this binary, even where another one has taken its place on the disk.
func program() (string, error) { return "/proc/self/exe", nil }

// attributes: the kernel kills the child with the thread that started it, and so with the process.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
