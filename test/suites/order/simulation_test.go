package order_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// timing configures a simulation: the settings of all three controllers and the longest pause.
//
// The delays keep the order only while pauses are limited. Callers start to call a publisher
// routingDelay after a commit, so the publisher must see the commit before. A removed endpoint
// disappears withdrawAfter after a commit. Until then a caller must see the commit and wait for its
// own routingDelay, which starts again with a restart or a further change of the same service. So
// commits, restarts and the starts of pauses are grouped into episodes: the length of an episode, a
// pause, two routing delays and two intervals together are shorter than withdrawAfter. The next
// episode starts when no routing is deferred.
type timing struct {
	name     string
	interval time.Duration
	delays   delays
	// pause is the longest pause of a controller.
	pause time.Duration
}

// delays are spec.routingDelay and spec.withdrawAfter.
type delays struct{ routingDelay, withdrawAfter time.Duration }

// With defaults, a paused controller that publishes something new resumes before callers use it.
// With longDelays, every pause is shorter than routingDelay.
var (
	defaults   = timing{name: "Defaults", interval: time.Minute, delays: delays{90 * time.Second, time.Hour}, pause: 55 * time.Minute}
	longDelays = timing{name: "LongDelays", interval: time.Hour, delays: delays{25 * time.Hour, 4 * 24 * time.Hour}, pause: 24 * time.Hour}
)

// simulation runs three controllers through one history.
type simulation struct {
	t           *testing.T
	r           *rand.Rand
	timing      timing
	monitor     *monitor
	revisions   []revision
	controllers []*simController
	// head is the index of the newest revision.
	head   int
	events []event
}

// clockLayout is the layout of times in the log.
const clockLayout = "Jan 02 15:04:05"

// simController is a simulated controller.
type simController struct {
	*controller
	nextSync time.Time
	// pausedUntil is the end of the pause. With restartOnResume the controller then has lost its
	// memory.
	pausedUntil     time.Time
	restartOnResume bool
	// publishBy limits pauses: a commit that the controller has not seen makes it publish something
	// new. Zero if there is none.
	publishBy time.Time
}

// event is anything but a sync.
type event struct {
	at time.Time
	do func()
}

// simulate runs a history until a violation or its end. The same events happen at the same times,
// whatever the delays of the controllers are.
func simulate(t *testing.T, seed uint64, timing timing, by delays, revisions []revision) *simulation {
	t.Helper()
	s := startSimulation(t, seed, timing, by, revisions)
	for len(s.monitor.violations) == 0 && s.scheduleEpisode() {
		s.run()
	}
	s.finish()
	return s
}

// startSimulation syncs all clusters to the first revision.
func startSimulation(t *testing.T, seed uint64, timing timing, by delays, revisions []revision) *simulation {
	t.Helper()
	s := &simulation{t: t, r: rand.New(rand.NewPCG(seed, 1)), timing: timing, monitor: newMonitor(), revisions: revisions}
	s.monitor.now = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	s.monitor.addGateways(revisions[0].gateways)
	for _, name := range clusterNames {
		c := &simController{controller: newController(t, s.monitor, fleet(t).Cluster(name), by)}
		c.sync(revisions[0])
		s.scheduleSync(c, time.Time{})
		s.controllers = append(s.controllers, c)
	}
	// First syncs are not deferred. The invariant holds from here on.
	s.monitor.checking = true
	s.monitor.check("the start")
	return s
}

// scheduleEpisode schedules some commits, pauses and restarts. It returns false if all commits have
// landed.
func (s *simulation) scheduleEpisode() bool {
	left := len(s.revisions) - 1 - s.head
	if left == 0 {
		return false
	}
	longest := s.timing.delays.withdrawAfter - 2*s.timing.delays.routingDelay - 2*s.timing.interval
	pause := s.between(s.timing.pause/4, s.timing.pause)
	span := s.between(0, longest-pause)
	begin := s.monitor.now
	within := func() time.Time { return begin.Add(s.between(0, span)) }
	for range min(left, 1+s.r.IntN(3)) {
		s.schedule(within(), s.landCommit)
	}
	for _, c := range s.controllers {
		switch s.r.IntN(5) {
		case 0:
			s.schedule(within(), func() { s.pause(c, pause) })
		case 1:
			s.schedule(within(), func() {
				s.monitor.logf("%s restarts", c.name)
				c.restart()
			})
		case 2:
			c.crashAfter = 1 + s.r.IntN(12)
		}
	}
	// Then nothing happens until no routing is deferred, or until some or all withdrawals are done.
	quiet := pause + 2*s.timing.delays.routingDelay + 2*s.timing.interval
	s.schedule(begin.Add(span+quiet+s.between(0, s.timing.delays.withdrawAfter)*time.Duration(s.r.IntN(2))), func() {})
	return true
}

// between returns whole seconds, the resolution of times in annotations.
func (s *simulation) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return (least + time.Duration(s.r.Int64N(int64(most-least)))).Truncate(time.Second)
}

func (s *simulation) schedule(at time.Time, do func()) {
	s.events = append(s.events, event{at, do})
	slices.SortStableFunc(s.events, func(a, b event) int { return a.at.Compare(b.at) })
}

// landCommit lands the next commit. A paused controller that must publish something new resumes
// before callers use it.
func (s *simulation) landCommit() {
	s.head++
	rev := s.revisions[s.head]
	s.monitor.addGateways(rev.gateways)
	s.monitor.logf("commit %s: %s", short(rev.bundles[clusterNames[0]].Revision), strings.Join(rev.changes, ", "))
	for _, c := range s.controllers {
		if latest := s.monitor.now.Add(s.between(0, s.timing.delays.routingDelay)); c.publishBy.IsZero() && publishesMore(c.last, rev.bundles[c.name]) {
			c.publishBy = latest
		}
		if !c.publishBy.IsZero() && c.publishBy.Before(c.pausedUntil) {
			c.pausedUntil, c.nextSync = c.publishBy, c.publishBy
		}
	}
}

// publishesMore reports whether a bundle adds or changes a published resource.
func publishesMore(before, after *render.Bundle) bool {
	had := map[string]bool{}
	for _, resource := range before.Resources {
		had[resource.Key.String()+resource.Hash] = true
	}
	return slices.ContainsFunc(after.Resources, func(r render.Resource) bool {
		return r.Side == render.SidePublish && !had[r.Key.String()+r.Hash]
	})
}

func (s *simulation) pause(c *simController, pause time.Duration) {
	c.pausedUntil = s.monitor.now.Add(pause)
	if !c.publishBy.IsZero() && c.publishBy.Before(c.pausedUntil) {
		c.pausedUntil = c.publishBy
	}
	c.nextSync, c.restartOnResume = c.pausedUntil, s.r.IntN(2) == 0
	c.counts.pauses++
	s.monitor.logf("%s is paused until %s", c.name, c.pausedUntil.Format(clockLayout))
}

// run processes all events, and the syncs between them.
func (s *simulation) run() {
	s.t.Helper()
	for len(s.events) > 0 && len(s.monitor.violations) == 0 {
		next := slices.MinFunc(s.controllers, func(a, b *simController) int { return a.nextSync.Compare(b.nextSync) })
		if e := s.events[0]; !e.at.After(next.nextSync) {
			s.events, s.monitor.now = s.events[1:], e.at
			e.do()
			continue
		}
		s.monitor.now = next.nextSync
		s.sync(next)
	}
}

func (s *simulation) sync(c *simController) {
	s.t.Helper()
	if c.restartOnResume {
		c.restartOnResume = false
		s.monitor.logf("%s resumes with a restart", c.name)
		c.restart()
	}
	due := c.sync(s.revisions[s.head])
	if !c.crashed {
		c.publishBy = time.Time{}
	}
	s.scheduleSync(c, due)
}

// scheduleSync sets the time of the next sync: within the interval, or earlier if a deferral or
// withdrawal is due.
func (s *simulation) scheduleSync(c *simController, due time.Time) {
	c.nextSync = s.monitor.now.Add(s.between(s.timing.interval/2, s.timing.interval))
	if !due.IsZero() && due.Before(c.nextSync) {
		c.nextSync = due
	}
	if c.crashed {
		c.crashed, c.nextSync = false, s.monitor.now.Add(s.between(0, s.timing.interval/4))
	}
}

// finish checks that some time after the last commit every cluster equals the repository and
// nothing is left to do.
func (s *simulation) finish() {
	s.t.Helper()
	s.schedule(s.monitor.now.Add(s.timing.delays.withdrawAfter+s.timing.delays.routingDelay+s.timing.pause+2*s.timing.interval), func() {})
	s.run()
	if len(s.monitor.violations) > 0 {
		return
	}
	for _, c := range s.controllers {
		bundle := s.revisions[s.head].bundles[c.name]
		if plan := c.plan(bundle); plan.Writes() || !plan.Due().IsZero() {
			s.t.Errorf("%s: long after the last commit the plan is not empty: %v", c.name, plan.Actions)
		}
		if have := len(s.monitor.clusters[c.name].objects); have != len(bundle.Resources) {
			s.t.Errorf("%s: long after the last commit it has %d objects, the repository %d", c.name, have, len(bundle.Resources))
		}
	}
}

func (s *simulation) counts() (all counts) {
	for _, c := range s.controllers {
		all.add(c.counts)
	}
	return all
}

func (s *simulation) String() string {
	n := s.counts()
	return fmt.Sprintf("%d commits, %d writes, %d checked calls, %d syncs, %d pauses, %d restarts (%d after crashes), %d deferrals, %d withdrawals",
		s.head, s.monitor.writes, s.monitor.checkedCalls, n.syncs, n.pauses, n.restarts, n.crashes, n.deferrals, n.withdrawals)
}
