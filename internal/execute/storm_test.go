package execute

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// storm refuses every other request, but at most three for one object until the next sync, lest one meet more than it is tried; those for namespaces, which are
// few, it refuses three times.
type storm struct {
	t             *testing.T
	reply         reply
	mu            sync.Mutex
	seen, refused int
	// of counts what was refused for each object since the last sync.
	of map[string]int
}

func (s *storm) judge(r *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := objectOf(s.t, r)
	s.seen++
	if s.of[object] == 3 || s.seen%2 == 0 && !strings.HasPrefix(object, "/api/v1/namespaces/stormy-") {
		return nil
	}
	s.of[object]++
	s.refused++
	return s.reply
}

// begin lets the storm refuse for each object anew, and returns how many it refused until now.
func (s *storm) begin() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of = map[string]int{}
	return s.refused
}

func many(prefix string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%02d", prefix, i))
	}
	return names
}

func TestThrottlingStormEndsWithinOneRun(t *testing.T) {
	tests := map[string]reply{
		"too many requests":           refusing(429, ""),
		"too many requests, and when": refusing(429, "1"),
		"unavailable":                 refusing(503, ""),
		"unavailable, and when":       refusing(503, "1"),
		"timeout":                     failing(504, metav1.StatusReasonTimeout, "etcdserver: request timed out"),
		"internal error":              failing(500, metav1.StatusReasonInternalError, "etcdserver: no leader"),
		"cut off before it was heard": cut(false),
		"cut off before it was ended": cut(true),
		"cut off, and some too many":  nil,
	}
	for name, reply := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			storm := &storm{t: t, reply: reply}
			storm.begin()
			if reply == nil {
				storm.reply = func(rw http.ResponseWriter, r *http.Request, pass http.Handler) {
					if len(r.URL.Path)%2 == 0 {
						refusing(429, "1")(rw, r, pass)
					}
					cut(true)(rw, r, pass)
				}
			}
			k := c.start()
			k.options.MaxPrunePercent = 100
			clock := k.through(c.relay(storm.judge))

			stay, change, go_, come := many("stays", 5), many("changes", 10), many("goes", 5), many("comes", 5)
			first := istiotest.Bundle(istiotest.Services(slices.Concat(stay, change, go_)...)...)
			if result := k.sync(first); result.Created != 60 || result.Wrote() != 60 {
				t.Errorf("first sync: %+v", result)
			}
			c.equal(first)
			before := storm.begin()
			if before < 30 || len(clock.pauses) < 30 {
				t.Fatalf("that was no storm: %d of %d were refused, and %d waited", before, storm.seen, len(clock.pauses))
			}

			// One of each: made, changed, changed in two steps, claimed, deleted at once and when a finalizer lets go.
			backup := c.get(istiotest.DestinationRule("shop", stay[0]))
			c.remove(backup)
			backup.SetManagedFields(nil)
			backup.SetResourceVersion("")
			backup.SetUID("")
			backup = c.make(backup, "velero-server")
			bare := c.get(istiotest.VirtualService("shop", change[0], ""))
			c.remove(bare)
			bare.SetManagedFields(nil)
			bare.SetResourceVersion("")
			bare.SetUID("")
			bare = c.make(bare, "velero-server")
			kept := c.patch(istiotest.VirtualService("shop", go_[0], ""), `{"metadata":{"finalizers":["example.com/kept"]}}`)
			var changed []*unstructured.Unstructured
			for _, name := range change {
				changed = append(changed, istiotest.ServiceEntry("shop", name, "192.0.2.9"), istiotest.DestinationRule("shop", name), istiotest.VirtualService("shop", name, "9s"))
			}
			// Without a namespace controller none can be made anew under its name.
			namespace := fmt.Sprintf("stormy-%d", time.Now().UnixNano())
			second := istiotest.Bundle(slices.Concat(istiotest.Services(slices.Concat(stay, come)...), changed, []*unstructured.Unstructured{istiotest.DestinationRule(namespace, "new")})...)
			second.Namespaces = []string{namespace}
			plan := k.planUntil(second, "what was done to objects is seen", func(p plans.Plan) bool {
				versions := map[string]bool{}
				for _, action := range p.Actions {
					if action.Live != nil {
						versions[action.Live.GetResourceVersion()] = true
					}
				}
				return versions[backup.GetResourceVersion()] && versions[bare.GetResourceVersion()] && versions[kept.GetResourceVersion()]
			})
			twice := slices.IndexFunc(plan.Actions, func(a plans.Action) bool { return a.NeedsTwoPhases() })
			if plan.Count(plans.Claim) != 1 || twice < 0 {
				t.Fatalf("the plan is not what the test is about: %v", plantest.Verbs(plan))
			}
			result, err := k.apply(plan)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]int{16, 20, 1, 15}, []int{result.Created, result.Updated, result.Claimed, result.Deleted}); diff != "" {
				t.Errorf("created, updated, claimed, deleted (-want +got):\n%s", diff)
			}
			if during := storm.begin() - before; during < 20 {
				t.Errorf("that was no storm: %d were refused", during)
			}
			if !slices.Equal(result.Namespaces, []string{namespace}) {
				t.Errorf("namespaces %v", result.Namespaces)
			}
			if plan := k.plan(second); plan.Writes() {
				t.Errorf("another run would write: %v", plantest.Verbs(plan))
			}
			c.patch(kept, `{"metadata":{"finalizers":null}}`)
			c.equal(second)
		})
	}
}

// batch holds requests back until as many are there as are expected, and a moment longer, so that one too many shows.
type batch struct {
	t       *testing.T
	arrived chan chan reply
}

func newBatch(t *testing.T) *batch { return &batch{t: t, arrived: make(chan chan reply, 1000)} }

func (b *batch) judge(*http.Request) reply {
	mine := make(chan reply, 1)
	b.arrived <- mine
	return <-mine
}

// expect waits for so many and answers them all.
func (b *batch) expect(reason string, want int, with reply) {
	b.t.Helper()
	var all []chan reply
	moment := (<-chan time.Time)(nil)
	for end := time.After(deadline); ; {
		select {
		case one := <-b.arrived:
			if all = append(all, one); len(all) == want {
				moment = time.After(50 * time.Millisecond)
			}
			continue
		case <-moment:
		case <-end:
		}
		break
	}
	if len(all) != want {
		b.t.Errorf("%s: %d are under way at once, not %d", reason, len(all), want)
	}
	for _, one := range all {
		one <- with
	}
}

func TestConcurrencyFallsWhileServerThrottles(t *testing.T) {
	for name, refused := range map[string]reply{"without a time": refusing(429, ""), "with a time": refusing(429, "1"), "cut off": cut(false)} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			batch := newBatch(t)
			k.through(c.relay(batch.judge))
			var rules []*unstructured.Unstructured
			for _, name := range many("cart", 40) {
				rules = append(rules, istiotest.DestinationRule("shop", name))
			}
			bundle := istiotest.Bundle(rules...)
			plan := k.plan(bundle)
			ended := make(chan error, 1)
			go func() {
				_, err := k.applier.Apply(t.Context(), plan)
				ended <- err
			}()
			for _, step := range []struct {
				reason string
				want   int
				with   reply
			}{
				{"at first", 8, refused},
				{"refused once", 4, refused},
				{"refused twice", 2, refused},
				{"refused three times", 1, nil},
				{"one was taken", 2, nil},
				{"three were taken", 4, nil},
				{"seven were taken", 8, nil},
				{"no more than at first", 8, nil},
			} {
				batch.expect(step.reason, step.want, step.with)
			}
			for {
				select {
				case one := <-batch.arrived:
					one <- nil
					continue
				case err := <-ended:
					if err != nil {
						t.Error(err)
					}
				}
				break
			}
			c.equal(bundle)
		})
	}
}

// Nine objects that are always refused, more than may be under way at once, wait here for as long as it takes to write all others of their stage.
func TestThrottledObjectDelaysNoOtherObject(t *testing.T) {
	tests := map[string]reply{
		"without a time": refusing(429, ""),
		"with a time":    refusing(429, "2"),
		"a webhook that is down": failing(500, metav1.StatusReasonInternalError,
			`Internal error occurred: failed calling webhook "a.example.com": connection refused`),
	}
	for name, refused := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			k.sync(istiotest.Bundle(istiotest.DestinationRule("shop", "stale")))
			bad, good := many("bad", 9), many("good", 40)
			var mu sync.Mutex
			tries, taken := map[string]int{}, 0
			othersAreDone := make(chan struct{})
			clock := k.through(c.relay(func(r *http.Request) reply {
				object := objectOf(t, r)
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(object, "serviceentries/bad-") {
					tries[object]++
					return refused
				}
				if strings.Contains(object, "serviceentries/good-") {
					return func(rw http.ResponseWriter, r *http.Request, pass http.Handler) {
						pass.ServeHTTP(rw, r)
						mu.Lock()
						defer mu.Unlock()
						if taken++; taken == len(good) {
							close(othersAreDone)
						}
					}
				}
				return nil
			}))
			clock.during = func(context.Context) {
				select {
				case <-othersAreDone:
				case <-time.After(deadline):
					t.Error("the others are held up")
				}
			}
			k.options.MaxPrunePercent = 100
			result, err := k.apply(k.plan(istiotest.Bundle(istiotest.Services(slices.Concat(bad, good)...)...)))
			want := map[string]Class{}
			for _, name := range bad {
				want["ServiceEntry/shop/"+name] = Transient
			}
			if diff := cmp.Diff(want, failures(result)); diff != "" || err == nil {
				t.Errorf("%v, failures (-want +got):\n%s", err, diff)
			}
			// Of the bad ones the two other kinds, and what would be deleted.
			if result.Created != 3*len(good) || result.Skipped != 2*len(bad)+1 {
				t.Errorf("%+v", result)
			}
			if !c.exists(istiotest.DestinationRule("shop", "stale")) || c.exists(istiotest.DestinationRule("shop", bad[0])) {
				t.Error("a failure has to keep what depends on it from being written, and everything from being deleted")
			}
			for object, n := range tries {
				// What a webhook is down for is tried by the next run.
				if again := !strings.Contains(name, "webhook"); n > 1+retries || again != (n > 1) {
					t.Errorf("%s was tried %d times", object, n)
				}
			}
			if len(tries) != len(bad) {
				t.Errorf("tried were %v", tries)
			}
			if !strings.Contains(name, "webhook") && !strings.Contains(err.Error(), "times)") {
				t.Errorf("the error does not say how often it was tried: %v", err)
			}
		})
	}
}
