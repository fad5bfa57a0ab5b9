//go:build unix

package testcluster

import "syscall"

// ownGroup keeps a Ctrl-C at the terminal from a process, so that the processes are stopped in
// order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
