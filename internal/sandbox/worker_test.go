package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWorkerServesManyRequests(t *testing.T) {
	w := start(t, Limits{})
	pid := w.child.process.Pid
	for i := range 1000 {
		request := []byte(fmt.Sprint("request ", i))
		if got, err := w.Call(t.Context(), "echo", request); err != nil || !bytes.Equal(got, request) {
			t.Fatalf("request %d: got %q, %v", i, got, err)
		}
	}
	if w.child.process.Pid != pid || !w.usable() {
		t.Error("the child was replaced, or is not usable")
	}
	large := touched(20 * mib)
	if got, err := w.Call(t.Context(), "echo", large); err != nil || !bytes.Equal(got, large) {
		t.Errorf("20 MiB: got %d bytes, %v", len(got), err)
	}
}

func TestChildIgnoresInterrupts(t *testing.T) {
	w := start(t, Limits{})
	if err := w.child.process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Call(t.Context(), "echo", nil); err != nil {
		t.Error(err)
	}
}

func TestClosedWorkersLeakNothing(t *testing.T) {
	// The first child makes the Go runtime open descriptors that it keeps.
	start(t, Limits{}).Close()
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for _, handler := range []string{"echo", "fail", "panic", "exit", "garbage", "loop", "sleep"} {
		w := start(t, Limits{Time: 200 * time.Millisecond})
		_, _ = w.Call(t.Context(), handler, nil)
		w.Close()
		w.Close() // a second Close does nothing
		wantReaped(t, w)
	}
	eventually(t, func() error {
		if n := runtime.NumGoroutine(); n > goroutines {
			stacks := make([]byte, mib)
			return fmt.Errorf("%d goroutines, were %d:\n%s", n, goroutines, stacks[:runtime.Stack(stacks, true)])
		}
		if n := openFiles(t); n > files {
			return fmt.Errorf("%d open files, were %d", n, files)
		}
		return nil
	})
}

func TestPoolLimitsTheNumberOfChildren(t *testing.T) {
	const size = 2
	p := NewPool(Limits{Time: long, CPU: long}, size)
	defer p.Close()
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			request := []byte(fmt.Sprint("request ", i))
			if got, err := p.Call(t.Context(), "echo", request); err != nil || !bytes.Equal(got, request) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wait.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n < 1 || n > size {
		t.Errorf("%d children are idle", n)
	}
}

func TestPoolReplacesDeadChild(t *testing.T) {
	p := NewPool(Limits{Time: long, CPU: long}, 1)
	defer p.Close()
	pid := func() int {
		for w := range p.idle {
			return w.child.process.Pid
		}
		return 0
	}
	if _, err := p.Enforced(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := pid()
	if _, err := p.Call(t.Context(), "fail", []byte("text")); err == nil || pid() != first {
		t.Errorf("a handler error ended the child: %v", err)
	}
	var crash *CrashError
	if _, err := p.Call(t.Context(), "panic", nil); !errors.As(err, &crash) {
		t.Errorf("got %v, want a CrashError", err)
	}
	if got, err := p.Call(t.Context(), "echo", []byte("again")); err != nil || string(got) != "again" {
		t.Errorf("got %q, %v", got, err)
	}
	if second := pid(); second == first || second == 0 {
		t.Errorf("child %d was followed by %d", first, second)
	}
	for w := range p.idle {
		w.child.end() // as the OOM killer may do at any time
	}
	if got, err := p.Call(t.Context(), "echo", []byte("once more")); err != nil || string(got) != "once more" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestClosedPoolHasNoChildren(t *testing.T) {
	p := NewPool(Limits{}, 1)
	if _, err := p.Call(t.Context(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	var w *Worker
	for w = range p.idle {
	}
	p.Close()
	wantReaped(t, w)
	if _, err := p.Call(t.Context(), "echo", nil); !errors.Is(err, errClosed) {
		t.Errorf("got %v, want %v", err, errClosed)
	}
}

func TestIdleChildExpires(t *testing.T) {
	p := NewPool(Limits{}, 1)
	defer p.Close()
	if _, err := p.Call(t.Context(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	for w := range p.idle {
		p.expire(w)
		wantReaped(t, w)
	}
	if len(p.idle) != 0 {
		t.Error("the child is still in the pool")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc")
	}
	return len(entries)
}

// eventually polls until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func BenchmarkFirstResponse(b *testing.B) {
	for b.Loop() {
		w, err := Start(b.Context(), Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Call(b.Context(), "echo", nil); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		w.Close()
		b.StartTimer()
	}
}

func BenchmarkCall(b *testing.B) {
	for _, size := range []int{0, mib, 16 * mib} {
		b.Run(strings.ReplaceAll(formatBytes(int64(size)), " ", ""), func(b *testing.B) {
			w, err := Start(b.Context(), Limits{})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			request := touched(size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := w.Call(b.Context(), "echo", request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
