package execute

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestControllerThatDoesNotLeadWritesNothing(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	asked := 0
	var answer error
	k.applier.WithLeaderCheck(func(context.Context) error { asked++; return answer })
	bundle := istiotest.Bundle(istiotest.Services("cart")...)
	k.sync(bundle)
	c.equal(bundle)
	if asked != 1 {
		t.Errorf("for a plan that is carried out at once it was asked %d times who leads", asked)
	}
	k.sync(bundle)
	if asked != 1 {
		t.Error("a plan that writes nothing asks")
	}
	answer = fmt.Errorf("%w: somebody", ErrNotLeading)
	result, err := k.apply(k.plan(istiotest.Bundle(istiotest.Services("web")...)))
	if !errors.Is(err, ErrNotLeading) || result.Wrote() > 0 {
		t.Errorf("wrote %d, %v", result.Wrote(), err)
	}
	c.equal(bundle)
}

func TestLeaderCheckIsFreshByBothClocks(t *testing.T) {
	cases := map[string]struct {
		reason          string
		monotonic, wall time.Duration
		want            bool
	}{
		"JustNow":     {"a lease lasts longer", time.Second, time.Second, true},
		"LongAgo":     {"another one may lead by now", leaderCheckValidity + 1, leaderCheckValidity + 1, false},
		"Slept":       {"the monotonic clock stands still while a machine sleeps", time.Second, time.Hour, false},
		"SetBack":     {"who was stopped for a minute, and whose clock was set back by it, does not know otherwise", time.Minute, time.Second, false},
		"SetBackMore": {"nothing was asked for later than now", time.Second, -time.Hour, false},
		"SetForward":  {"it looks like sleep", time.Second, 24 * time.Hour, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := isFresh(tc.monotonic, tc.wall); got != tc.want {
				t.Errorf("believed: got %v, want %v: %s", got, tc.want, tc.reason)
			}
		})
	}
}
