package order_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// What a run of all tests has time for.
const (
	defaultSeed  = 1
	defaultMoves = 40
)

// random is the history that all tests here live through.
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
		random.revisions = history(t, random.seed, int(fromEnvironment(t, "ISTHMUS_ORDER_MOVES", defaultMoves)),
			without(strings.Split(os.Getenv("ISTHMUS_ORDER_WITHOUT"), ",")))
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

func TestWhatIsCalledIsOfferedAtEveryInstant(t *testing.T) {
	seed, revisions := randomHistory(t)
	for _, timing := range []timing{defaults, patient} {
		t.Run(timing.name, func(t *testing.T) {
			s := simulate(t, seed, timing, timing.rule, revisions)
			t.Log(s)
			if len(s.world.wrong) > 0 {
				t.Fatalf("seed %d, %s:\n%s\n\n%s", seed, timing.name, strings.Join(s.world.wrong, "\n"), s.world.end())
			}
			if did := s.did(); did.waits == 0 || did.withdrawals == 0 || did.holds == 0 || did.restarts == 0 || s.world.pairs < 100*len(revisions) {
				t.Errorf("that shows nothing: %s", s)
			}
		})
	}
}

// The same things happen at the same times, and callers do not wait, or nothing stays, or both. Were that not to break anything, the check
// above could not fail either.
func TestWithoutTheRuleItIsNot(t *testing.T) {
	seed, revisions := randomHistory(t)
	for _, timing := range []timing{defaults, patient} {
		for name, by := range map[string]rule{
			"NoRule":       {},
			"NobodyWaits":  {withdrawAfter: timing.rule.withdrawAfter},
			"NothingStays": {routingDelay: timing.rule.routingDelay},
		} {
			t.Run(timing.name+name, func(t *testing.T) {
				s := simulate(t, seed, timing, by, revisions)
				t.Log(s)
				if len(s.world.wrong) == 0 {
					t.Fatalf("seed %d: nothing is ever called that is not offered", seed)
				}
				t.Log(s.world.wrong[0])
			})
		}
	}
}
