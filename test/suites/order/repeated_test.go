package order_test

import (
	"strings"
	"testing"
	"time"
)

// A service with deferred routing gets an unrelated change, here of its timeout, more often than
// routingDelay. The deferral must not start again with each change, or callers would call the
// removed endpoint in the end.
func TestRepeatedChangesDoNotExtendADeferral(t *testing.T) {
	before := initialState()
	states := []*state{before}
	for i := range 60 {
		next := states[i].clone()
		if i == 0 {
			singleChanges[0].after(next)
		}
		next.services["stock"].timeout = 1 + i%2
		states = append(states, next)
	}
	runCommits(t, 80*time.Second, states...)
}

// runCommits lands one commit after the other. All controllers sync within the interval.
func runCommits(t *testing.T, every time.Duration, states ...*state) {
	t.Helper()
	s := startSimulation(t, 0, defaults, defaults.delays, newRepository(t).revisions(states...))
	for i := range len(states) - 1 {
		s.schedule(s.monitor.now.Add(time.Duration(i)*every), s.landCommit)
	}
	s.run()
	s.finish()
	if len(s.monitor.violations) > 0 {
		t.Errorf("%s\n\n%s", strings.Join(s.monitor.violations, "\n"), s.monitor.logTail())
	}
}
