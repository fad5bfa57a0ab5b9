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

// timing is how a history happens: by the settings of all three controllers, and how far what happens to them may go.
//
// Time keeps the order as long as nobody is away for too long. From the moment of a commit on, a publisher has routingDelay to see it, since callers
// call it then. A caller has withdrawAfter, since what it calls is gone then, and needs routingDelay of it for its own wait, which begins anew
// with every further change of the same service and with a restart. So commits, restarts and the beginnings of holds come in episodes: the
// time of an episode, a hold, two waits and two intervals are less than withdrawAfter, and the next episode begins when nobody waits any more.
type timing struct {
	name     string
	interval time.Duration
	rule     rule
	// hold is how long a controller that is away may be so.
	hold time.Duration
}

// rule is what keeps the order: spec.routingDelay and spec.withdrawAfter.
type rule struct{ routingDelay, withdrawAfter time.Duration }

// With the defaults, whoever has something new to offer is back from a hold before callers come. The patient are so within a day in any case.
var (
	defaults = timing{name: "Defaults", interval: time.Minute, rule: rule{90 * time.Second, time.Hour}, hold: 55 * time.Minute}
	patient  = timing{name: "Patient", interval: time.Hour, rule: rule{25 * time.Hour, 4 * 24 * time.Hour}, hold: 24 * time.Hour}
)

// simulation is one history, as three controllers live through it.
type simulation struct {
	t         *testing.T
	r         *rand.Rand
	timing    timing
	world     *world
	revisions []revision
	hosts     []*host
	// landed is the number of the newest revision.
	landed int
	agenda []event
}

// clock is how the story tells times.
const clock = "Jan 02 15:04:05"

// host is a controller and when it syncs.
type host struct {
	*controller
	next time.Time
	// held is until when it is away, and restarts whether it comes back without its memory.
	held     time.Time
	restarts bool
	// owes is until when it has to be back, if it is, or will be, held: some commit that it has not seen has it offer something new. Zero if
	// none has.
	owes time.Time
}

// event is something that happens but for syncs.
type event struct {
	at time.Time
	do func()
}

// simulate lives through a history until something is wrong or it is over. The same things happen at the same times, whatever the rule that
// the controllers keep.
func simulate(t *testing.T, seed uint64, timing timing, by rule, revisions []revision) *simulation {
	t.Helper()
	s := begin(t, seed, timing, by, revisions)
	for len(s.world.wrong) == 0 && s.episode() {
		s.run()
	}
	s.settled()
	return s
}

// begin has every cluster at the first revision.
func begin(t *testing.T, seed uint64, timing timing, by rule, revisions []revision) *simulation {
	t.Helper()
	s := &simulation{t: t, r: rand.New(rand.NewPCG(seed, 1)), timing: timing, world: newWorld(), revisions: revisions}
	s.world.now = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	s.world.knows(revisions[0].gateways)
	for _, name := range clusterNames {
		h := &host{controller: newController(t, s.world, fleet(t).Cluster(name), by)}
		h.sync(revisions[0])
		h.plans(s, time.Time{})
		s.hosts = append(s.hosts, h)
	}
	// A first sync does not wait for others: from here on there is something to lose.
	s.world.judging = true
	s.world.judge("the start")
	return s
}

// episode puts some commits, holds and restarts on the agenda, and its end; false if all commits have landed.
func (s *simulation) episode() bool {
	left := len(s.revisions) - 1 - s.landed
	if left == 0 {
		return false
	}
	longest := s.timing.rule.withdrawAfter - 2*s.timing.rule.routingDelay - 2*s.timing.interval
	hold := s.between(s.timing.hold/4, s.timing.hold)
	span := s.between(0, longest-hold)
	begin := s.world.now
	within := func() time.Time { return begin.Add(s.between(0, span)) }
	for range min(left, 1+s.r.IntN(3)) {
		s.plan(within(), s.land)
	}
	for _, h := range s.hosts {
		switch s.r.IntN(5) {
		case 0:
			s.plan(within(), func() { s.hold(h, hold) })
		case 1:
			s.plan(within(), func() {
				s.world.tell("%s restarts", h.name)
				h.restart()
			})
		case 2:
			h.crash = 1 + s.r.IntN(12)
		}
	}
	// Then it is quiet until all have settled, or until some or all of what was withdrawn has gone.
	quiet := hold + 2*s.timing.rule.routingDelay + 2*s.timing.interval
	s.plan(begin.Add(span+quiet+s.between(0, s.timing.rule.withdrawAfter)*time.Duration(s.r.IntN(2))), func() {})
	return true
}

// between is a whole number of seconds, since people see no less in the annotations of objects.
func (s *simulation) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return (least + time.Duration(s.r.Int64N(int64(most-least)))).Truncate(time.Second)
}

func (s *simulation) plan(at time.Time, do func()) {
	s.agenda = append(s.agenda, event{at, do})
	slices.SortStableFunc(s.agenda, func(a, b event) int { return a.at.Compare(b.at) })
}

// land is a commit. Who is held, and has something new to offer, is back soon enough for those that call it then.
func (s *simulation) land() {
	s.landed++
	rev := s.revisions[s.landed]
	s.world.knows(rev.gateways)
	s.world.tell("commit %s: %s", short(rev.bundles[clusterNames[0]].Revision), strings.Join(rev.told, ", "))
	for _, h := range s.hosts {
		if latest := s.world.now.Add(s.between(0, s.timing.rule.routingDelay)); h.owes.IsZero() && offersMore(h.last, rev.bundles[h.name]) {
			h.owes = latest
		}
		if !h.owes.IsZero() && h.owes.Before(h.held) {
			h.held, h.next = h.owes, h.owes
		}
	}
}

// offersMore tells whether a bundle has something for other clusters that the one before has not, or has otherwise.
func offersMore(before, after *render.Bundle) bool {
	had := map[string]bool{}
	for _, resource := range before.Resources {
		had[resource.Key.String()+resource.Hash] = true
	}
	return slices.ContainsFunc(after.Resources, func(r render.Resource) bool {
		return r.Side == render.SidePublish && !had[r.Key.String()+r.Hash]
	})
}

func (s *simulation) hold(h *host, hold time.Duration) {
	h.held = s.world.now.Add(hold)
	if !h.owes.IsZero() && h.owes.Before(h.held) {
		h.held = h.owes
	}
	h.next, h.restarts = h.held, s.r.IntN(2) == 0
	h.did.holds++
	s.world.tell("%s is held until %s", h.name, h.held.Format(clock))
}

// run does what is on the agenda, and has everybody sync in between.
func (s *simulation) run() {
	s.t.Helper()
	for len(s.agenda) > 0 && len(s.world.wrong) == 0 {
		next := slices.MinFunc(s.hosts, func(a, b *host) int { return a.next.Compare(b.next) })
		if e := s.agenda[0]; !e.at.After(next.next) {
			s.agenda, s.world.now = s.agenda[1:], e.at
			e.do()
			continue
		}
		s.world.now = next.next
		s.sync(next)
	}
}

func (s *simulation) sync(h *host) {
	s.t.Helper()
	if h.restarts {
		h.restarts = false
		s.world.tell("%s is back without its memory", h.name)
		h.restart()
	}
	due := h.sync(s.revisions[s.landed])
	if !h.crashed {
		h.owes = time.Time{}
	}
	h.plans(s, due)
}

// plans sets the next sync: within the interval, or earlier if something is due.
func (h *host) plans(s *simulation, due time.Time) {
	h.next = s.world.now.Add(s.between(s.timing.interval/2, s.timing.interval))
	if !due.IsZero() && due.Before(h.next) {
		h.next = due
	}
	if h.crashed {
		h.crashed, h.next = false, s.world.now.Add(s.between(0, s.timing.interval/4))
	}
}

// settled fails the test unless, some time after the last commit, every cluster is what the repository says and nothing is left to do.
func (s *simulation) settled() {
	s.t.Helper()
	s.plan(s.world.now.Add(s.timing.rule.withdrawAfter+s.timing.rule.routingDelay+s.timing.hold+2*s.timing.interval), func() {})
	s.run()
	if len(s.world.wrong) > 0 {
		return
	}
	for _, h := range s.hosts {
		bundle := s.revisions[s.landed].bundles[h.name]
		if plan := h.plan(bundle); plan.Writes() || !plan.Due().IsZero() {
			s.t.Errorf("%s: long after the last commit there is something to do: %v", h.name, plan.Actions)
		}
		if have := len(s.world.clusters[h.name].objects); have != len(bundle.Resources) {
			s.t.Errorf("%s: long after the last commit it has %d objects, and the repository %d", h.name, have, len(bundle.Resources))
		}
	}
}

// end is the end of the story.
func (w *world) end() string {
	const lines = 80
	return strings.Join(w.story[max(0, len(w.story)-lines):], "\n")
}

func (s *simulation) did() (all tally) {
	for _, h := range s.hosts {
		all.add(h.controller.did)
	}
	return all
}

func (s *simulation) String() string {
	did := s.did()
	return fmt.Sprintf("%d commits, %d writes, %d looks at a call, %d syncs, %d holds, %d restarts, %d of them after crashes; %d times something waited, and %d times something stayed",
		s.landed, s.world.writes, s.world.pairs, did.syncs, did.holds, did.restarts, did.crashes, did.waits, did.withdrawals)
}
