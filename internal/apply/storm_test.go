package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// reply is what a relay does with a request.
type reply func(rw http.ResponseWriter, r *http.Request, pass http.Handler)

// refusing answers as a busy API server does: with a text, since it refuses before it reads what it is asked for.
func refusing(code int, retryAfter string) reply {
	return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if retryAfter != "" {
			rw.Header().Set("Retry-After", retryAfter)
		}
		http.Error(rw, "Too many requests, please try again later.", code)
	}
}

// cut ends the connection before the API server hears of the request, or before the reply comes back.
func cut(heard bool) reply {
	return func(_ http.ResponseWriter, r *http.Request, pass http.Handler) {
		if heard {
			pass.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
}

// failing answers as the API server itself does when a webhook, or what is behind it, fails.
func failing(code int, reason metav1.StatusReason, message string) reply {
	return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(code)
		fmt.Fprintf(rw, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"code":%d}`, message, reason, code)
	}
}

// relay stands between an applier and the API server, and answers writes, and what is read of single objects, in its stead where the function judge says so.
func (c *cluster) relay(judge func(r *http.Request) reply) *rest.Config {
	c.t.Helper()
	target, err := url.Parse(c.config.Host)
	if err != nil {
		c.t.Fatal(err)
	}
	transport, err := rest.TransportFor(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if reply := judge(r); reply != nil {
			reply(rw, r, pass)
			return
		}
		pass.ServeHTTP(rw, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	c.t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, QPS: -1}
}

// through has a controller write through a relay, by a clock that does not wait.
func (k *controller) through(config *rest.Config) *hasty {
	k.t.Helper()
	client, err := NewClient(config)
	if err != nil {
		k.t.Fatal(err)
	}
	k.applier = NewApplier(client, k.live)
	clock := &hasty{}
	k.applier.clock = clock.clock()
	return clock
}

// objectOf is what a request is about; a POST has the name in its body.
func objectOf(t *testing.T, r *http.Request) string {
	if r.Method != http.MethodPost {
		return r.URL.Path
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	made := &unstructured.Unstructured{}
	if err := made.UnmarshalJSON(body); err != nil {
		t.Error(err)
	}
	return r.URL.Path + "/" + made.GetName()
}

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

func TestAStormIsOutlastedInOneRun(t *testing.T) {
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
			first := bundleOf(services(slices.Concat(stay, change, go_)...)...)
			if result := k.sync(first); result.Created != 60 || result.Wrote() != 60 {
				t.Errorf("first sync: %+v", result)
			}
			c.equal(first)
			before := storm.begin()
			if before < 30 || len(clock.pauses) < 30 {
				t.Fatalf("that was no storm: %d of %d were refused, and %d waited", before, storm.seen, len(clock.pauses))
			}

			// One of each: made, changed, changed in two steps, claimed, deleted at once and when a finalizer lets go.
			backup := c.get(rule("shop", stay[0]))
			c.remove(backup)
			backup.SetManagedFields(nil)
			backup.SetResourceVersion("")
			backup.SetUID("")
			backup = c.make(backup, "velero-server")
			bare := c.get(route("shop", change[0], ""))
			c.remove(bare)
			bare.SetManagedFields(nil)
			bare.SetResourceVersion("")
			bare.SetUID("")
			bare = c.make(bare, "velero-server")
			kept := c.patch(route("shop", go_[0], ""), `{"metadata":{"finalizers":["example.com/kept"]}}`)
			var changed []*unstructured.Unstructured
			for _, name := range change {
				changed = append(changed, entry("shop", name, "192.0.2.9"), rule("shop", name), route("shop", name, "9s"))
			}
			// Without a namespace controller none can be made anew under its name.
			namespace := fmt.Sprintf("stormy-%d", time.Now().UnixNano())
			second := bundleOf(slices.Concat(services(slices.Concat(stay, come)...), changed, []*unstructured.Unstructured{rule(namespace, "new")})...)
			second.Namespaces = []string{namespace}
			plan := k.planUntil(second, "what was done to objects is seen", func(p Plan) bool {
				versions := map[string]bool{}
				for _, action := range p.Actions {
					if action.live != nil {
						versions[action.live.GetResourceVersion()] = true
					}
				}
				return versions[backup.GetResourceVersion()] && versions[bare.GetResourceVersion()] && versions[kept.GetResourceVersion()]
			})
			twice := slices.IndexFunc(plan.Actions, func(a Action) bool { return a.twice() })
			if plan.Count(Claim) != 1 || twice < 0 {
				t.Fatalf("the plan is not what the test is about: %v", verbs(plan))
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
				t.Errorf("another run would write: %v", verbs(plan))
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

func TestFewerAreUnderWayWhileTheServerIsBusy(t *testing.T) {
	for name, refused := range map[string]reply{"without a time": refusing(429, ""), "with a time": refusing(429, "1"), "cut off": cut(false)} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			batch := newBatch(t)
			k.through(c.relay(batch.judge))
			var rules []*unstructured.Unstructured
			for _, name := range many("cart", 40) {
				rules = append(rules, rule("shop", name))
			}
			bundle := bundleOf(rules...)
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
func TestWhatIsAlwaysRefusedHoldsUpNothingElse(t *testing.T) {
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
			k.sync(bundleOf(rule("shop", "stale")))
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
			result, err := k.apply(k.plan(bundleOf(services(slices.Concat(bad, good)...)...)))
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
			if !c.exists(rule("shop", "stale")) || c.exists(rule("shop", bad[0])) {
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

func TestTheEndOfARunEndsWaiting(t *testing.T) {
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
		plan := k.plan(bundleOf(services(many("cart", 20)...)...))
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
		plan := k.plan(bundleOf(rule("shop", "cart")))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		result, err := k.applier.Apply(ctx, plan)
		if err == nil || result.Failed != 1 || len(clock.pauses) > 0 {
			t.Errorf("it waits although its time would be over by then: %v, %v, %+v", clock.pauses, err, result)
		}
	})
}

func TestWhoLeadsIsAskedAgainBeforeAnotherTry(t *testing.T) {
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
	k.applier.Fence(func(context.Context) error {
		if asked++; asked > 1 {
			return fmt.Errorf("%w: somebody", ErrNotLeading)
		}
		return nil
	})
	result, err := k.apply(k.plan(bundleOf(rule("shop", "cart"))))
	if !errors.Is(err, ErrNotLeading) || result.Wrote() > 0 || requests != 1 || asked != 2 {
		t.Errorf("%d requests, asked %d times, %v", requests, asked, err)
	}
	if c.exists(rule("shop", "cart")) {
		t.Error("it was written")
	}
}

// An answer that was lost is no leave to take what somebody else made or changed meanwhile.
func TestWhatOthersDoBetweenTwoTriesIsSeen(t *testing.T) {
	live := rule("shop", "old")
	tests := map[string]struct {
		reason  string
		second  []*unstructured.Unstructured
		between func(*cluster)
		want    map[string]Class
		check   func(*testing.T, *cluster)
	}{
		"a foreign object appears": {
			"it is not ours because we tried to make one",
			[]*unstructured.Unstructured{live, rule("shop", "new")},
			func(c *cluster) {
				theirs := rule("shop", "new")
				theirs.SetLabels(nil)
				c.make(theirs, "kubectl-create")
			},
			map[string]Class{"DestinationRule/shop/new": Appeared},
			nil,
		},
		"a copy of ours appears": {
			"it lacks a mark, so we did not make it",
			[]*unstructured.Unstructured{live, rule("shop", "new")},
			func(c *cluster) { c.make(create(rule("shop", "new"), c.owner.ID), "kubectl-create") },
			map[string]Class{"DestinationRule/shop/new": Conflict},
			nil,
		},
		"another one of ours appears": {
			"it is not what was to be made",
			[]*unstructured.Unstructured{live, rule("shop", "new")},
			func(c *cluster) {
				other := create(rule("shop", "new"), c.owner.ID)
				other.Object["spec"].(map[string]any)["exportTo"] = []any{"."}
				c.make(other, FieldManager)
			},
			map[string]Class{"DestinationRule/shop/new": Conflict},
			nil,
		},
		"an object is edited before its PUT": {
			"the edit is not overwritten unseen",
			[]*unstructured.Unstructured{labelled(live, map[string]string{"tier": "gold"})},
			func(c *cluster) { c.patch(live, `{"spec":{"exportTo":["."]}}`) },
			map[string]Class{"DestinationRule/shop/old": Conflict},
			func(t *testing.T, c *cluster) {
				if specOf(c.get(live))["exportTo"] == nil {
					t.Error("it was overwritten")
				}
			},
		},
		"an object is edited before its DELETE": {
			"whoever edits it may have taken it over", nil,
			func(c *cluster) { c.patch(live, `{"metadata":{"labels":{"theirs":"1"}}}`) },
			map[string]Class{"DestinationRule/shop/old": Conflict},
			func(t *testing.T, c *cluster) {
				if !c.exists(live) {
					t.Error("it was deleted")
				}
			},
		},
		"an object is made anew before its DELETE": {
			"it is another one", nil,
			func(c *cluster) {
				c.remove(live)
				made := c.make(rule("shop", "old"), "kubectl-create")
				c.patch(made, `{"metadata":{"finalizers":["example.com/kept"]}}`)
				c.remove(made)
			},
			map[string]Class{"DestinationRule/shop/old": Conflict},
			nil,
		},
		"an object is gone before its DELETE": {"gone is gone", nil, func(c *cluster) { c.remove(live) }, map[string]Class{}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := c.start()
			k.sync(bundleOf(live, rule("shop", "other")))
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
			result, _ := k.apply(k.plan(bundleOf(append(slices.Clone(test.second), rule("shop", "other"))...)))
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

func TestARightIsAskedForAgain(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	requests := 0
	k.through(c.relay(func(*http.Request) reply {
		if requests++; requests%2 == 1 {
			return refusing(429, "1")
		}
		return nil
	}))
	missing, err := k.applier.Missing(t.Context(), k.plan(bundleOf(rule("shop", "cart"))))
	if err != nil || len(missing) > 0 || requests != 2 {
		t.Errorf("%d requests, %v, %v", requests, missing, err)
	}
}
