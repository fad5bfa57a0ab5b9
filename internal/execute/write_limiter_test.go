package execute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// hasty is a clock that lets a pause pass at once, and notes it. Nothing takes any time by it, however slow the machine is.
type fastClock struct {
	mu     sync.Mutex
	passed time.Duration
	pauses []time.Duration
	// during, if not nil, is called before a pause is over.
	during func(ctx context.Context)
}

func (h *fastClock) clock() clock {
	start := time.Now()
	return clock{
		now: func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return start.Add(h.passed)
		},
		sleep: func(ctx context.Context, pause time.Duration) {
			h.mu.Lock()
			over := h.passed + pause
			h.pauses = append(h.pauses, pause)
			h.mu.Unlock()
			if h.during != nil {
				h.during(ctx)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.passed = max(h.passed, over)
		},
		stopwatch: func() func() time.Duration { return func() time.Duration { return 0 } },
	}
}

var (
	errBusy    = apierrors.NewTooManyRequests("later", 0)
	errRefused = apierrors.NewBadRequest("no")
)

// writes runs as many writes as there may be, in a bubble of time; the answer says what becomes of each try.
type writes struct {
	pace  *writeLimiter
	begun atomic.Int64
}

func (w *writes) add(ctx context.Context, answer func(again bool) error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- w.pace.do(ctx, func(again bool) error { w.begun.Add(1); return answer(again) }) }()
	return ended
}

func TestLimitOfConcurrentWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{pace: newWriteLimiter(systemClock())}
		answers := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		for range 100 {
			w.add(ctx, func(bool) error {
				select {
				case answer := <-answers:
					return answer
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		expect := func(reason string, want int) {
			t.Helper()
			synctest.Wait()
			if begun := int(w.begun.Swap(0)); begun != want {
				t.Errorf("%s: %d begin instead of %d", reason, begun, want)
			}
		}
		give := func(n int, answer error) {
			for range n {
				answers <- answer
			}
		}
		expect("at first", 8)
		give(8, errBusy)
		expect("what was under way at once is refused for one reason, which halves once", 4)
		give(1, nil)
		expect("one that is taken allows one more beside the one that comes after it", 2)
		give(1, errRefused)
		expect("what is understood and refused shows as well that there is room", 2)
		give(1, errBusy)
		synctest.Wait()
		expect("the limit is 3, and 5 are under way", 0)
		give(2, nil)
		expect("each of the 3 and 2 that are taken allows one more", 2)
		give(20, nil)
		expect("never more than at first: 8 are under way, and each that ends is followed by one", 23)
		cancel()
		synctest.Wait()
		expect("when ctx ends nobody begins", 0)
	})
}

func TestLimitNeverFallsBelowOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newWriteLimiter(systemClock())
		for range 10 {
			turn, ok := p.acquire(t.Context())
			if !ok {
				t.Fatal("no turn")
			}
			p.finish(t.Context(), turn, 1, 0, errBusy)
		}
		if p.limit != 1 || p.excess != 0 {
			t.Errorf("limit %d, surplus %d", p.limit, p.excess)
		}
		if _, ok := p.acquire(t.Context()); !ok {
			t.Error("nobody gets a turn")
		}
	})
}

func TestBackoffOfThrottledWrite(t *testing.T) {
	ms := time.Millisecond
	type bounds struct{ from, to time.Duration }
	asking := func(seconds int) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable,
			Details: &metav1.StatusDetails{RetryAfterSeconds: int32(seconds)},
		}}
	}
	tests := map[string]struct {
		reason string
		answer error
		within time.Duration
		want   []bounds
	}{
		"says nothing":      {"twice as long each time, and five tries in all", errBusy, time.Hour, []bounds{{100 * ms, 150 * ms}, {200 * ms, 300 * ms}, {400 * ms, 600 * ms}, {800 * ms, 1200 * ms}}},
		"says when":         {"never earlier than that", asking(2), time.Hour, []bounds{{2100 * ms, 2150 * ms}, {2200 * ms, 2300 * ms}, {2400 * ms, 2600 * ms}, {2800 * ms, 3200 * ms}}},
		"says much later":   {"the next run is not far behind", asking(11), time.Hour, nil},
		"time is short":     {"it would be tried in vain", errBusy, 250 * ms, []bounds{{100 * ms, 150 * ms}}},
		"time is too short": {"it would be tried in vain", asking(1), time.Second, nil},
		"does not answer":   {"it may be there again", io.ErrUnexpectedEOF, time.Hour, []bounds{{100 * ms, 150 * ms}, {200 * ms, 300 * ms}, {400 * ms, 600 * ms}, {800 * ms, 1200 * ms}}},
		"refuses":           {"it would again", errRefused, time.Hour, nil},
		"another leads":     {"who does not lead does not write", ErrNotLeading, time.Hour, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.within)
				defer cancel()
				start, tries := time.Now(), []time.Time{}
				err := newWriteLimiter(systemClock()).do(ctx, func(bool) error { tries = append(tries, time.Now()); return test.answer })
				if !errors.Is(err, test.answer) {
					t.Errorf("%s: %v", test.reason, err)
				}
				if len(tries) != len(test.want)+1 {
					t.Fatalf("%s: tried %d times", test.reason, len(tries))
				}
				for i, want := range test.want {
					if pause := tries[i+1].Sub(tries[i]); pause < want.from || pause > want.to {
						t.Errorf("%s: pause %d is %s", test.reason, i+1, pause)
					}
				}
				if !time.Now().Equal(tries[len(tries)-1]) || !tries[0].Equal(start) {
					t.Errorf("%s: it waited before the first or after the last try", test.reason)
				}
			})
		})
	}
}

func TestWriteLearnsThatItIsARepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		err := newWriteLimiter(systemClock()).do(t.Context(), func(again bool) error {
			if told = append(told, again); len(told) < 3 {
				return errBusy
			}
			return nil
		})
		if diff := cmp.Diff([]bool{false, true, true}, told); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// Eight that are always refused, as many as may be under way, wait without a turn.
func TestThrottledWriteReleasesItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{pace: newWriteLimiter(systemClock())}
		var refused, taken []<-chan error
		for range maxConcurrent {
			refused = append(refused, w.add(t.Context(), func(bool) error { return errBusy }))
		}
		synctest.Wait()
		start := time.Now()
		for range 100 {
			taken = append(taken, w.add(t.Context(), func(bool) error { return nil }))
		}
		for _, ended := range taken {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if !time.Now().Equal(start) {
			t.Errorf("they waited for %s", time.Since(start))
		}
		for _, ended := range refused {
			if err := <-ended; err == nil {
				t.Error("it cannot have succeeded")
			}
		}
		if end := time.Since(start); end > 3*time.Second {
			t.Errorf("those that are refused are given up after %s", end)
		}
	})
}

// While nothing is taken, a thousand writes send few requests; if that lasts, they are given up, and if not, all are taken.
func TestAllWritesBackOffWhileNoneSucceeds(t *testing.T) {
	for _, lasts := range []time.Duration{time.Second, time.Hour} {
		t.Run(lasts.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writes{pace: newWriteLimiter(systemClock())}
				start := time.Now()
				var inVain atomic.Int64
				failed := 0
				var all []<-chan error
				for range 1000 {
					all = append(all, w.add(t.Context(), func(bool) error {
						time.Sleep(time.Millisecond)
						if time.Since(start) > lasts {
							return nil
						}
						if time.Since(start) < time.Second {
							inVain.Add(1)
						}
						return errBusy
					}))
				}
				for _, ended := range all {
					if err := <-ended; err != nil {
						failed++
					}
				}
				if inVain.Load() > 30 {
					t.Errorf("%d requests in the first second, of which nothing was taken", inVain.Load())
				}
				if lasts == time.Second && failed > 0 {
					t.Errorf("%d failed, although it ended", failed)
				}
				if end := time.Since(start); end > 5*time.Second {
					t.Errorf("it ended after %s", end)
				}
			})
		})
	}
}

// One of many that is refused each time does not make the others wait, however often that is.
func TestOccasionalThrottlingDelaysNoOtherWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newWriteLimiter(systemClock())
		start := time.Now()
		for range 10 * throttledBeforeBackoff {
			for _, answer := range []error{errBusy, nil} {
				turn, _ := p.acquire(t.Context())
				p.finish(t.Context(), turn, 1, 0, answer)
			}
		}
		if !time.Now().Equal(start) {
			t.Errorf("they waited for %s", time.Since(start))
		}
	})
}

// What hangs until somebody's timeout would hold up the run as often as it is tried.
func TestSlowWriteIsNotRepeated(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		takes  time.Duration
		tries  int
	}{
		"Soon": {"the API server had no room", maxTryDuration, retries + 1},
		"Late": {"the API server did not answer in time", maxTryDuration + 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				_ = newWriteLimiter(systemClock()).do(t.Context(), func(bool) error { tries++; time.Sleep(tc.takes); return errBusy })
				if tries != tc.tries {
					t.Errorf("%s: tried %d times, want %d", tc.reason, tries, tc.tries)
				}
			})
		})
	}
}

func TestEndOfContextEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{pace: newWriteLimiter(systemClock())}
		ctx, cancel := context.WithCancelCause(t.Context())
		busy := apierrors.NewTooManyRequests("later", 5)
		var all []<-chan error
		for range 100 {
			all = append(all, w.add(ctx, func(bool) error { return busy }))
		}
		time.Sleep(time.Second)
		before, start := w.begun.Load(), time.Now()
		cancel(errors.New("the end"))
		for _, ended := range all {
			if err := <-ended; err == nil {
				t.Error("it cannot have succeeded")
			}
		}
		if w.begun.Load() != before || !time.Now().Equal(start) {
			t.Errorf("%d began after the end, which took %s", w.begun.Load()-before, time.Since(start))
		}
	})
}

func TestWhichErrorsAreRepeated(t *testing.T) {
	status := func(code int, reason metav1.StatusReason, message string) error {
		return fmt.Errorf("wrapped: %w", &apierrors.StatusError{ErrStatus: metav1.Status{Code: int32(code), Reason: reason, Message: message}})
	}
	rules := schema.GroupResource{Resource: "destinationrules"}
	tests := map[string]struct {
		reason string
		err    error
		want   bool
	}{
		"too many":        {"priority and fairness", status(429, metav1.StatusReasonTooManyRequests, ""), true},
		"unavailable":     {"it is starting, or stopping", status(503, metav1.StatusReasonServiceUnavailable, ""), true},
		"timeout":         {"etcd was slow", status(504, metav1.StatusReasonTimeout, ""), true},
		"server timeout":  {"a list of CRDs is being read", apierrors.NewServerTimeout(rules, "create", 1), true},
		"internal":        {"etcd has no leader", status(500, metav1.StatusReasonInternalError, "etcdserver: no leader"), true},
		"bad gateway":     {"of a load balancer, without a Status", apierrors.NewGenericServerResponse(502, "post", rules, "cart", "", 0, true), true},
		"webhook failed":  {"the next run does; whom it is not asked about shall not wait", status(500, metav1.StatusReasonInternalError, "failed calling webhook"), false},
		"webhook denies":  {"whatever code it chose", status(500, metav1.StatusReasonInternalError, `admission webhook "a" denied the request: no`), false},
		"webhook is full": {"whatever code it chose", status(429, metav1.StatusReasonTooManyRequests, `admission webhook "a" denied the request: no`), false},
		"no answer":       {"connection reset", errors.New("EOF"), true},
		"invalid":         {"the manifest", apierrors.NewInvalid(schema.GroupKind{}, "cart", nil), false},
		"forbidden":       {"the role", apierrors.NewForbidden(rules, "cart", nil), false},
		"conflict":        {"the next run", apierrors.NewConflict(rules, "cart", nil), false},
		"not found":       {"the next run", apierrors.NewNotFound(rules, "cart"), false},
		"exists":          {"it is looked at", apierrors.NewAlreadyExists(rules, "cart"), false},
		"unknown method":  {"it will not learn it", apierrors.NewMethodNotSupported(rules, "create"), false},
		"altered":         {"it was written", &Failure{Class: Altered, Err: errors.New("other")}, false},
		"not leading":     {"another one writes", fmt.Errorf("%w: b", ErrNotLeading), false},
		"done":            {"it is", nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := isThrottled(test.err); got != test.want {
				t.Errorf("%s: %v", test.reason, got)
			}
		})
	}
	if !slices.IsSorted([]time.Duration{firstDelay, firstDelay << (retries - 1), maxRetryAfter}) {
		t.Error("the longest wait is shorter than one of our own")
	}
}
