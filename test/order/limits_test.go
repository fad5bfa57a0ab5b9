package order_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// limit skips a test of what the rule does not promise, unless ISTHMUS_ORDER_LIMITS is set. Such a test fails, and says where the limit is.
func limit(t *testing.T) {
	t.Helper()
	if os.Getenv("ISTHMUS_ORDER_LIMITS") == "" {
		t.Skip("fails, and shows a limit of the rule: set ISTHMUS_ORDER_LIMITS=1 to see it")
	}
}

// Every change of a service that waits begins its time anew, whatever it changes: a timeout here. So callers never follow a service that changes
// more often than settleAfter, and after withdrawAfter they call what is gone.
func TestCallersFollowAServiceThatKeepsChanging(t *testing.T) {
	limit(t)
	before := start()
	states := []*state{before}
	for i := range 60 {
		next := states[i].clone()
		if i == 0 {
			worsts[0].after(next)
		}
		next.services["stock"].timeout = 1 + i%2
		states = append(states, next)
	}
	lives(t, 80*time.Second, states...)
}

// A commit, its revert and the revert of that within one interval: a caller that saw the first and the third one waits from the first one on, and a
// publisher that saw the second one learns of it an interval after that. Nobody was away for longer than the interval.
func TestAFlapWithinAnIntervalIsWaitedForAnew(t *testing.T) {
	limit(t)
	before := start()
	moved := before.clone()
	worsts[0].after(moved)
	s := begin(t, 0, defaults, defaults.rule, newRepository(t).revisions(before, moved, before, moved))
	began := s.world.now
	at := func(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }
	commits := []time.Time{at(2), at(50), at(60)}
	syncs := map[string][]time.Time{"east": {at(5), at(65)}, "north": {at(5), at(65)}, "west": {at(1), at(55), at(115)}}
	for _, when := range commits {
		s.plan(when, s.land)
	}
	for _, h := range s.hosts {
		h.next = at(1000)
		for _, when := range syncs[h.name] {
			s.plan(when, func() {
				h.next = at(1000)
				if due := h.sync(s.revisions[s.landed]); !due.IsZero() {
					h.next = due
				}
			})
		}
	}
	s.plan(at(300), func() {})
	s.run()
	if len(s.world.wrong) > 0 {
		t.Errorf("%s\n\n%s", strings.Join(s.world.wrong, "\n"), s.world.end())
	}
}

// lives has one commit after the other, and everybody sync within the interval.
func lives(t *testing.T, every time.Duration, states ...*state) {
	t.Helper()
	s := begin(t, 0, defaults, defaults.rule, newRepository(t).revisions(states...))
	for i := range len(states) - 1 {
		s.plan(s.world.now.Add(time.Duration(i)*every), s.land)
	}
	s.run()
	s.settled()
	if len(s.world.wrong) > 0 {
		t.Errorf("%s\n\n%s", strings.Join(s.world.wrong, "\n"), s.world.end())
	}
}
