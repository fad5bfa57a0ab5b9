package sandbox

import "syscall"

// program returns the path of this binary, even if the file on disk was replaced.
func program() (string, error) { return "/proc/self/exe", nil }

// attributes makes the kernel kill the child when the thread that started it dies.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
