package order_test

import (
	"strings"
	"testing"
	"time"
)

// A service that waits and changes in something else, a timeout here, does not begin to wait anew: callers of one that changes more often than routingDelay would call
// what is gone in the end.
func TestCallersFollowAServiceThatKeepsChanging(t *testing.T) {
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
