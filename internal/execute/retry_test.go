package execute

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestEndOfRunEndsBackoff(t *testing.T) {
	t.Run("cut off", func(t *testing.T) {
		c := newCluster(t)
		k := c.start()
		var mu sync.Mutex
		requests := 0
		clock := k.through(c.relay(func(*http.Request) reply {
			mu.Lock()
			defer mu.Unlock()
			requests++
			return refusing(429, "5")
		}))
		plan := k.plan(istiotest.Bundle(istiotest.Services(many("cart", 20)...)...))
		ctx, cancel := context.WithCancelCause(t.Context())
		clock.during = func(ctx context.Context) {
			cancel(errors.New("the time was up"))
			<-ctx.Done()
		}
		result, err := k.applier.Apply(ctx, plan)
		if err == nil || !strings.Contains(err.Error(), "the time was up") {
			t.Errorf("it does not say that it was cut off: %v", err)
		}
		// Eight at first; when the first of them is refused, one more may begin beside three others before the first waits.
		if requests > 12 || result.Wrote() > 0 || result.Failed+result.Skipped != 60 {
			t.Errorf("%d requests, %+v", requests, result)
		}
		if len(c.all()) > 0 {
			t.Error("something was written")
		}
	})
	t.Run("no time to wait", func(t *testing.T) {
		c := newCluster(t)
		k := c.start()
		clock := k.through(c.relay(func(*http.Request) reply { return refusing(429, "5") }))
		plan := k.plan(istiotest.Bundle(istiotest.DestinationRule("shop", "cart")))
		// The deadline is by the fake clock, so that a slow machine changes nothing.
		ctx, cancel := context.WithDeadline(t.Context(), k.applier.clock.now().Add(5*time.Second))
		defer cancel()
		result, err := k.applier.Apply(ctx, plan)
		if err == nil || result.Failed != 1 || len(clock.pauses) > 0 {
			t.Errorf("it waits although its time would be over by then: %v, %v, %+v", clock.pauses, err, result)
		}
	})
}

func TestLeaseIsCheckedBeforeEachRepetition(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	var mu sync.Mutex
	requests := 0
	k.through(c.relay(func(*http.Request) reply {
		mu.Lock()
		defer mu.Unlock()
		if requests++; requests == 1 {
			return refusing(429, "3") // longer than it is believed who leads
		}
		return nil
	}))
	asked := 0
	k.applier.WithLeaderCheck(func(context.Context) error {
		if asked++; asked > 1 {
			return fmt.Errorf("%w: somebody", ErrNotLeading)
		}
		return nil
	})
	result, err := k.apply(k.plan(istiotest.Bundle(istiotest.DestinationRule("shop", "cart"))))
	if !errors.Is(err, ErrNotLeading) || result.Wrote() > 0 || requests != 1 || asked != 2 {
		t.Errorf("%d requests, asked %d times, %v", requests, asked, err)
	}
	if c.exists(istiotest.DestinationRule("shop", "cart")) {
		t.Error("it was written")
	}
}

// An answer that was lost is no leave to take what somebody else made or changed meanwhile.
func TestChangesByOthersBetweenTriesAreSeen(t *testing.T) {
	live := istiotest.DestinationRule("shop", "old")
	tests := map[string]struct {
		reason  string
		second  []*unstructured.Unstructured
		between func(*testCluster)
		want    map[string]Class
		check   func(*testing.T, *testCluster)
	}{
		"a foreign object appears": {
			"it is not ours because we tried to make one",
			[]*unstructured.Unstructured{live, istiotest.DestinationRule("shop", "new")},
			func(c *testCluster) {
				theirs := istiotest.DestinationRule("shop", "new")
				theirs.SetLabels(nil)
				c.make(theirs, "kubectl-create")
			},
			map[string]Class{"DestinationRule/shop/new": Appeared},
			nil,
		},
		"a copy of ours appears": {
			"it lacks a mark, so we did not make it",
			[]*unstructured.Unstructured{live, istiotest.DestinationRule("shop", "new")},
			func(c *testCluster) {
				c.make(merge.CreateBody(istiotest.DestinationRule("shop", "new"), c.owner.ID), "kubectl-create")
			},
			map[string]Class{"DestinationRule/shop/new": Conflict},
			nil,
		},
		"another one of ours appears": {
			"it is not what was to be made",
			[]*unstructured.Unstructured{live, istiotest.DestinationRule("shop", "new")},
			func(c *testCluster) {
				other := merge.CreateBody(istiotest.DestinationRule("shop", "new"), c.owner.ID)
				other.Object["spec"].(map[string]any)["exportTo"] = []any{"."}
				c.make(other, ownership.FieldManager)
			},
			map[string]Class{"DestinationRule/shop/new": Conflict},
			nil,
		},
		"an object is edited before its PUT": {
			"the edit is not overwritten unseen",
			[]*unstructured.Unstructured{istiotest.WithLabels(live, map[string]string{"tier": "gold"})},
			func(c *testCluster) { c.patch(live, `{"spec":{"exportTo":["."]}}`) },
			map[string]Class{"DestinationRule/shop/old": Conflict},
			func(t *testing.T, c *testCluster) {
				if istiotest.Spec(c.get(live))["exportTo"] == nil {
					t.Error("it was overwritten")
				}
			},
		},
		"an object is edited before its DELETE": {
			"whoever edits it may have taken it over", nil,
			func(c *testCluster) { c.patch(live, `{"metadata":{"labels":{"theirs":"1"}}}`) },
			map[string]Class{"DestinationRule/shop/old": Conflict},
			func(t *testing.T, c *testCluster) {
				if !c.exists(live) {
					t.Error("it was deleted")
				}
			},
		},
		"an object is made anew before its DELETE": {
			"it is another one", nil,
			func(c *testCluster) {
				c.remove(live)
				made := c.make(istiotest.DestinationRule("shop", "old"), "kubectl-create")
				c.patch(made, `{"metadata":{"finalizers":["example.com/kept"]}}`)
				c.remove(made)
			},
			map[string]Class{"DestinationRule/shop/old": Conflict},
			nil,
		},
		"an object is gone before its DELETE": {"gone is gone", nil, func(c *testCluster) { c.remove(live) }, map[string]Class{}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			k.sync(istiotest.Bundle(live, istiotest.DestinationRule("shop", "other")))
			var once sync.Once
			tries := 0
			k.through(c.relay(func(r *http.Request) (a reply) {
				if r.Method != http.MethodGet {
					tries++
				}
				once.Do(func() {
					test.between(c)
					a = cut(false)
				})
				return a
			}))
			k.options.MaxPrunePercent = 100
			result, _ := k.apply(k.plan(istiotest.Bundle(append(slices.Clone(test.second), istiotest.DestinationRule("shop", "other"))...)))
			if diff := cmp.Diff(test.want, failures(result)); diff != "" {
				t.Errorf("%s: failures (-want +got):\n%s", test.reason, diff)
			}
			if tries != 2 {
				t.Errorf("it was tried %d times", tries)
			}
			if test.check != nil {
				test.check(t, c)
			}
		})
	}
}

func TestDeniedPermissionIsCheckedAgain(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	requests := 0
	k.through(c.relay(func(*http.Request) reply {
		if requests++; requests%2 == 1 {
			return refusing(429, "1")
		}
		return nil
	}))
	missing, err := k.applier.MissingPermissions(t.Context(), k.plan(istiotest.Bundle(istiotest.DestinationRule("shop", "cart"))))
	if err != nil || len(missing) > 0 || requests != 2 {
		t.Errorf("%d requests, %v, %v", requests, missing, err)
	}
}
