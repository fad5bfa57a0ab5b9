//go:build unix

package demo

import "syscall"

// apart keeps a Ctrl-C at the terminal from the child, so that everything is stopped in order and by us.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
