package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	for name, h := range testHandlers {
		Handle(name, h)
	}
	Main()
	if os.Getenv(orphanEnv) != "" {
		parentOfOrphan()
	}
	os.Exit(m.Run())
}

var allocated [][]byte

// testHandlers are the handlers of the children in these tests.
var testHandlers = map[string]Handler{
	"echo": func(_ context.Context, request []byte) ([]byte, error) { return request, nil },
	"fail": func(_ context.Context, request []byte) ([]byte, error) { return nil, errors.New(string(request)) },
	"loop": func(context.Context, []byte) ([]byte, error) {
		for n := 0; ; n++ {
			_ = n
		}
	},
	"sleep": func(context.Context, []byte) ([]byte, error) {
		time.Sleep(time.Hour)
		return nil, nil
	},
	"bomb": func(context.Context, []byte) ([]byte, error) {
		for {
			allocated = append(allocated, touched(mib))
		}
	},
	"leap": func(context.Context, []byte) ([]byte, error) { return touched(8 << 30)[:1], nil },
	"garbage collector's work": func(context.Context, []byte) ([]byte, error) {
		for range 300 {
			allocated = append(allocated[:0], touched(8*mib))
		}
		allocated = nil
		return nil, nil
	},
	"panic": func(context.Context, []byte) ([]byte, error) {
		fmt.Println("said before") // a stray print must not corrupt the response
		panic("told why")
	},
	"exit": func(context.Context, []byte) ([]byte, error) { os.Exit(0); return nil, nil },
	"noise": func(context.Context, []byte) ([]byte, error) {
		for range 1000 {
			fmt.Fprintln(os.Stderr, strings.Repeat("noise ", 1000))
		}
		panic("after much noise")
	},
	"large": func(_ context.Context, request []byte) ([]byte, error) { return touched(2 * mib), nil },
	"garbage": func(context.Context, []byte) ([]byte, error) {
		_, err := syscall.Write(responseFD, []byte(strings.Repeat("garbage", 100)))
		return nil, err
	},
	"hang up": func(context.Context, []byte) ([]byte, error) {
		_ = syscall.Close(responseFD)
		time.Sleep(time.Hour)
		return nil, nil
	},
	"open": onManyThreads(func(path string) error {
		f, err := os.Open(path)
		if err == nil {
			f.Close()
		}
		return err
	}),
	"write": onManyThreads(func(path string) error { return os.WriteFile(path, []byte("was here"), 0o600) }),
	"list":  onManyThreads(func(path string) error { _, err := os.ReadDir(path); return err }),
	"stat":  onManyThreads(func(path string) error { _, err := os.Stat(path); return err }),
	"dial": onManyThreads(func(address string) error {
		network, address, _ := strings.Cut(address, " ")
		c, err := net.DialTimeout(network, address, time.Minute)
		if err == nil {
			return c.Close()
		}
		return err
	}),
	"listen": onManyThreads(func(address string) error {
		l, err := net.Listen("tcp", address)
		if err == nil {
			return l.Close()
		}
		return err
	}),
	"exec": onManyThreads(func(path string) error { return exec.Command(path).Run() }),
	"replace": func(_ context.Context, request []byte) ([]byte, error) {
		return nil, syscall.Exec(string(request), []string{string(request)}, nil)
	},
	"signal": onManyThreads(func(pid string) error {
		var n int
		if _, err := fmt.Sscan(pid, &n); err != nil {
			return err
		}
		return syscall.Kill(n, syscall.SIGTERM)
	}),
	"environment": func(context.Context, []byte) ([]byte, error) { return []byte(strings.Join(os.Environ(), "\n")), nil },
	"directory": func(context.Context, []byte) ([]byte, error) {
		dir, err := os.Getwd()
		return []byte(dir), err
	},
	"descriptors": func(context.Context, []byte) ([]byte, error) {
		var fds []string
		for fd := range 1024 {
			if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno == 0 {
				fds = append(fds, fmt.Sprint(fd))
			}
		}
		return []byte(strings.Join(fds, " ")), nil
	},
}

// touched returns resident memory: each page was written to.
func touched(size int) []byte {
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	return b
}

// onManyThreads tries an operation on existing and on new threads, because each must be restricted.
// It succeeds if one thread does.
func onManyThreads(try func(string) error) Handler {
	return func(_ context.Context, request []byte) ([]byte, error) {
		const threads = 16
		errs := make([]error, threads)
		var all, wait sync.WaitGroup
		all.Add(threads)
		for i := range threads {
			wait.Go(func() {
				runtime.LockOSThread()
				all.Done()
				all.Wait()
				errs[i] = try(string(request))
			})
		}
		wait.Wait()
		for _, err := range errs {
			if err == nil {
				return []byte("allowed"), nil
			}
		}
		return nil, errors.Join(errs...)
	}
}
