package sandbox

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// long is a limit that no test reaches, even on a busy machine.
const long = 10 * time.Minute

func start(t *testing.T, limits Limits) *Worker {
	t.Helper()
	if limits.Time == 0 {
		limits.Time = long
	}
	if limits.CPU == 0 {
		limits.CPU = long
	}
	w, err := Start(t.Context(), limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestCallOverALimitIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems only limit time and the size of the response")
	}
	for name, tc := range map[string]struct {
		handler string
		limits  Limits
		want    LimitError
		text    string
		reason  string
	}{
		"EndlessLoopTime": {
			handler: "loop", limits: Limits{Time: 200 * time.Millisecond},
			want: LimitError{What: Time, Limit: int64(200 * time.Millisecond)}, text: "took longer than 200ms",
			reason: "CUE has no cancellation",
		},
		"SleepTime": {
			handler: "sleep", limits: Limits{Time: 300 * time.Millisecond, CPU: 200 * time.Millisecond},
			want: LimitError{What: Time, Limit: int64(300 * time.Millisecond)}, text: "took longer than 300ms",
			reason: "sleeping uses no processor time",
		},
		"EndlessLoopCPU": {
			handler: "loop", limits: Limits{CPU: 200 * time.Millisecond},
			want: LimitError{What: CPU, Limit: int64(200 * time.Millisecond)}, text: "used more than 200ms of processor time",
			reason: "on a busy machine wall-clock time alone would fail harmless evaluations",
		},
		"GrowingMemory": {
			handler: "bomb", limits: Limits{Memory: 128 * mib},
			want: LimitError{What: Memory, Limit: 128 * mib}, text: "used more than 128 MiB of memory",
			reason: "three lines of CUE took 6 GB",
		},
		"MemoryAtOnce": {
			handler: "leap", limits: Limits{Memory: 128 * mib},
			want: LimitError{What: Memory, Limit: 128 * mib}, text: "used more than 128 MiB of memory",
			reason: "the kernel stops a jump between two measurements",
		},
		"LargeResponse": {
			handler: "large", limits: Limits{Output: mib},
			want: LimitError{What: Output, Limit: mib, Used: 2 * mib}, text: "returned more than 1 MiB",
			reason: "the response is in the memory of this process",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.limits.Memory != 0 {
				skipWithDetector(t)
			}
			w := start(t, tc.limits)
			_, err := w.Call(t.Context(), tc.handler, nil)
			var limit *LimitError
			if !errors.As(err, &limit) {
				t.Fatalf("%s: got %v, want a LimitError", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, *limit, cmpopts.IgnoreFields(LimitError{}, "Used")); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if err.Error() != tc.text {
				t.Errorf("the text is %q, want %q", err, tc.text)
			}
			wantReaped(t, w)
		})
	}
}

func TestKernelEnforcesLimitsWithoutTheParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("rlimits are set on Linux only")
	}
	for name, tc := range map[string]struct{ handler, what string }{
		"Memory":        {handler: "bomb", what: Memory},
		"ProcessorTime": {handler: "loop", what: CPU},
	} {
		t.Run(name, func(t *testing.T) {
			skipWithDetector(t)
			limits := Limits{Memory: 64 * mib, CPU: time.Millisecond, Time: long}.withDefaults()
			c, err := spawn(limits)
			if err != nil {
				t.Fatal(err)
			}
			defer c.end()
			if err := c.handshake(limits); err != nil {
				t.Fatal(err)
			}
			if err := writeFrame(c.requests, frame{kind: kindRequest, head: tc.handler}); err != nil {
				t.Fatal(err)
			}
			_, err = readFrame(c.responses, mib, kindResponse)
			<-c.exited
			var limit *LimitError
			if err := c.exitError(err, limits); !errors.As(err, &limit) || limit.What != tc.what {
				t.Errorf("got %+v, want a LimitError of %s; it wrote:\n%s", err, tc.what, c.stderr.String())
			}
		})
	}
}

func TestMemoryBombDoesNotAffectTheParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("resident memory is read from /proc")
	}
	self, err := openUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.close()
	w := start(t, Limits{Memory: 256 * mib})
	before, _ := self.memory()
	if _, err := w.Call(t.Context(), "bomb", nil); err == nil {
		t.Fatal("the bomb succeeded")
	}
	if after, _ := self.memory(); after-before > 64*mib {
		t.Errorf("this process grew from %s to %s", formatBytes(before), formatBytes(after))
	}
}

func TestGarbageIsCollectedBeforeTheLimit(t *testing.T) {
	skipWithDetector(t)
	w := start(t, Limits{Memory: 128 * mib})
	if _, err := w.Call(t.Context(), "garbage collector's work", nil); err != nil {
		t.Errorf("2.4 GiB of garbage with 16 MiB in use exceeded 128 MiB: %v", err)
	}
}

func TestCPULimitCountsPerCall(t *testing.T) {
	w := start(t, Limits{CPU: 150 * time.Millisecond, Memory: 2048 * mib})
	var total time.Duration
	for total < 400*time.Millisecond {
		if _, err := w.Call(t.Context(), "large", nil); err != nil {
			t.Fatalf("after a total of %s: %v", total, err)
		}
		total, _ = w.child.usage.cpu()
	}
}

func TestCancellationKillsTheChild(t *testing.T) {
	w := start(t, Limits{})
	why := errors.New("cancelled by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := w.Call(ctx, "loop", nil); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
	wantReaped(t, w)
	if _, err := w.Call(t.Context(), "echo", nil); !errors.Is(err, errEnded) {
		t.Errorf("a second call: got %v, want %v", err, errEnded)
	}
}

func TestDeadlineIsReturned(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := start(t, Limits{}).Call(ctx, "loop", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestTooLargeRequestIsNotSent(t *testing.T) {
	w := start(t, Limits{Input: 10})
	if _, err := w.Call(t.Context(), "echo", make([]byte, 11)); err == nil || !strings.Contains(err.Error(), "11 bytes is larger than 10 bytes") {
		t.Errorf("got %v", err)
	}
	if _, err := w.Call(t.Context(), "echo", make([]byte, 10)); err != nil {
		t.Errorf("the worker ended: %v", err)
	}
}

// skipWithDetector skips tests of memory: the race detector needs several times as much.
func skipWithDetector(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector needs too much memory")
	}
}

// wantReaped fails unless the child has ended and is reaped.
func wantReaped(t *testing.T, w *Worker) {
	t.Helper()
	select {
	case <-w.child.exited:
	default:
		t.Error("the call returned before the child had ended")
	}
	if err := syscall.Kill(w.child.state.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child still exists, or is a zombie: %v", err)
	}
}
