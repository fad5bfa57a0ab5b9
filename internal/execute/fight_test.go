package execute

import (
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestFightBacksOffAndSingleEditDoesNot(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	object := istiotest.ServiceEntry("shop", "cart", "192.0.2.1")
	bundle := istiotest.Bundle(object)
	key := render.Key{Kind: "ServiceEntry", Namespace: "shop", Name: "cart"}
	k.sync(bundle)
	fights := k.planner.Fights()
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	edit := func() {
		c.patch(object, `{"spec":{"hosts":["other.example.com"]}}`)
		k.planUntil(bundle, "the edit is seen", func(p plans.Plan) bool { return p.Drifted() == 1 })
	}
	correct := func() []render.Key {
		t.Helper()
		k.options.Timing.Now = now
		result := k.sync(bundle)
		if result.Drifted != 1 {
			t.Fatalf("%d put right", result.Drifted)
		}
		return k.newFights
	}
	for i := range plans.FightThreshold {
		k.options.Timing.Now = now.Add(plans.MaxBackoff)
		edit()
		if begun := correct(); (len(begun) == 1) != (i == plans.FightThreshold-1) {
			t.Errorf("correction %d: fought over since then: %v", i, begun)
		}
		now = now.Add(time.Millisecond)
	}
	for _, truce := range []time.Duration{plans.MinBackoff, 2 * plans.MinBackoff, 4 * plans.MinBackoff} {
		k.options.Timing.Now = now.Add(plans.MaxBackoff)
		edit()
		k.options.Timing.Now = now
		plan := k.plan(bundle)
		if plan.Writes() || len(plan.Actions) != 1 || plan.Actions[0].Verb != plans.Skip || !strings.Contains(plan.Actions[0].Reason.String(), "kubectl-edit") {
			t.Fatalf("in a truce of %s: %+v", truce, plan.Actions)
		}
		_, until := fights.Backoffs(now)
		if wait := until.Sub(now); wait > truce || wait < truce-time.Second/2 {
			t.Errorf("the truce lasts %s, want %s", wait, truce)
		}
		now = until
		correct()
	}
	if over := fights.Active(now); len(over) != 1 || over[0] != key {
		t.Errorf("fought over: %v", over)
	}
	now = now.Add(plans.FightWindow + time.Second)
	k.options.Timing.Now = now.Add(plans.MaxBackoff)
	edit()
	if begun := correct(); len(begun) > 0 || len(fights.Active(now)) > 0 {
		t.Error("after a while it is a slip again")
	}
	if truces, _ := fights.Backoffs(now); len(truces) > 0 {
		t.Errorf("truces: %v", truces)
	}
	c.equal(bundle)
}
