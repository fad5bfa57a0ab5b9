package order_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The defaults are short enough for a run of all tests.
const (
	defaultSeed    = 1
	defaultCommits = 40
)

// random is the history that all tests of this file share.
var random struct {
	once      sync.Once
	seed      uint64
	revisions []revision
}

func randomHistory(t *testing.T) (seed uint64, revisions []revision) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts three API servers: left out with -short")
	}
	random.once.Do(func() {
		random.seed = fromEnvironment(t, "ISTHMUS_ORDER_SEED", defaultSeed)
		random.revisions = history(t, random.seed, int(fromEnvironment(t, "ISTHMUS_ORDER_MOVES", defaultCommits)),
			changesWithout(strings.Split(os.Getenv("ISTHMUS_ORDER_WITHOUT"), ",")))
	})
	if random.revisions == nil {
		t.Fatal("there is no history")
	}
	return random.seed, random.revisions
}

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestCalledServicesAreAlwaysOffered(t *testing.T) {
	seed, revisions := randomHistory(t)
	for _, timing := range []timing{defaults, longDelays} {
		t.Run(timing.name, func(t *testing.T) {
			s := simulate(t, seed, timing, timing.delays, revisions)
			t.Log(s)
			if len(s.monitor.violations) > 0 {
				t.Fatalf("seed %d, %s:\n%s\n\n%s", seed, timing.name, strings.Join(s.monitor.violations, "\n"), s.monitor.logTail())
			}
			if n := s.counts(); n.deferrals == 0 || n.withdrawals == 0 || n.pauses == 0 || n.restarts == 0 || s.monitor.checkedCalls < 100*len(revisions) {
				t.Errorf("the history does not exercise the delays: %s", s)
			}
		})
	}
}

// The same events happen at the same times, without deferrals, without withdrawals, or without
// both.
func TestCalledServicesAreNotOfferedWithoutTheDelays(t *testing.T) {
	seed, revisions := randomHistory(t)
	for _, timing := range []timing{defaults, longDelays} {
		for name, by := range map[string]delays{
			"NoDelays":     {},
			"NoDeferral":   {withdrawAfter: timing.delays.withdrawAfter},
			"NoWithdrawal": {routingDelay: timing.delays.routingDelay},
		} {
			t.Run(timing.name+name, func(t *testing.T) {
				s := simulate(t, seed, timing, by, revisions)
				t.Log(s)
				if len(s.monitor.violations) == 0 {
					t.Fatalf("seed %d: the check found no violation", seed)
				}
				t.Log(s.monitor.violations[0])
			})
		}
	}
}
