//go:build linux

package torture_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// world is all that a fault may be about.
type world struct {
	seed     uint64
	git      *repository
	clusters []*cluster
	disk     *disk
	// at is the number of the state that the branch holds.
	at       int
	password string
	passed   map[string][]time.Duration
	started  time.Time
}

// fault is one way in which things go wrong.
type fault struct {
	name string
	// weight is how often it is drawn; slow ones are left out of the short form.
	weight int
	slow   bool
	// begin begins it and returns what ends it. In between is a commit, unless the fault makes its own.
	begin func(*trial) (end func())
	// through says that nothing may wait for its end.
	through bool
	// beside says that it may happen around another one; apart, that no other may happen around it.
	beside, apart bool
	// rests says that when all is well again, it is to be looked whether everybody rests.
	rests bool
}

// trial is one fault that happens.
type trial struct {
	*testing.T
	*world
	number int
	random *rand.Rand
	// did says in words what was drawn.
	did []string
}

func TestFaults(t *testing.T) {
	seed, count := uint64(time.Now().UnixNano()), 0
	for name, into := range map[string]func(uint64){"ISTHMUS_SEED": func(n uint64) { seed = n }, "ISTHMUS_FAULTS": func(n uint64) { count = int(n) }} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			must(t, err)
			into(n)
		}
	}
	t.Logf("ISTHMUS_SEED=%d repeats these faults", seed)
	w := newWorld(t, seed)
	drawn := draw(seed, count)
	for i, f := range drawn {
		if end, ok := t.Deadline(); ok && time.Until(end) < deadline+time.Minute {
			t.Fatalf("no time is left for more than %d of %d faults", i, len(drawn))
		}
		ok := t.Run(fmt.Sprintf("%03d-%s", i+1, f.name), func(t *testing.T) { w.suffer(t, i+1, f) })
		if !ok {
			break
		}
	}
	if !t.Failed() {
		w.rests(t)
	}
	t.Log(w.report())
}

// draw are the faults of a run, in which every sort comes as often as it weighs; with no count, each quick one once.
func draw(seed uint64, count int) []fault {
	random := rand.New(rand.NewPCG(seed, 0))
	var out []fault
	if count == 0 {
		out = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.slow })
		random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out
	}
	for len(out) < count {
		var round []fault
		for _, f := range faults {
			round = append(round, slices.Repeat([]fault{f}, f.weight)...)
		}
		random.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		out = append(out, round...)
	}
	return out[:count]
}

// newWorld is three clusters with their controllers, at the state before the first fault.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{seed: seed, git: newRepository(t), disk: newDisk(t), password: "secret", passed: map[string][]time.Duration{}, started: time.Now()}
	w.git.gate.admit(w.password)
	t.Cleanup(func() {
		if t.Failed() {
			for _, c := range w.clusters {
				t.Log(c.describe())
			}
		}
	})
	w.git.commit(t, meshOf(seed, 0))
	for _, server := range fleet.Clusters() {
		c := install(t, server, w.git)
		w.clusters = append(w.clusters, c)
		c.letIn(t, w.password)
		if c.name == "east" {
			// A lease that is over soon, yet not so soon that a busy machine loses it.
			elected := []string{"--leader-election-lease-duration=5s", "--leader-election-renew-deadline=4s", "--leader-election-retry-period=500ms"}
			for i := range 2 {
				c.controllers = append(c.controllers, c.start(t, fmt.Sprintf("%s-%d", c.name, i), w.disk.path, elected...))
			}
		} else {
			c.controllers = append(c.controllers, c.start(t, c.name, w.disk.path, "--enable-leader-election=false"))
		}
		c.follow(t)
	}
	w.converge(t, "the first sync")
	for _, c := range w.clusters {
		var required []string
		for _, pillar := range pillars {
			required = append(required, hostOf(pillar))
		}
		c.hosts.require(required...)
	}
	return w
}

// converge waits until every cluster is as the head says, and fails if a host was absent meanwhile.
func (w *world) converge(t *testing.T, after string) {
	t.Helper()
	commit := w.git.head(t)
	for _, c := range w.clusters {
		until(t, fmt.Sprintf("after %s %s is as the repository says", after, c.name), func() string { return c.wrong(t, commit) })
	}
	for _, c := range w.clusters {
		// What was right may have been spoilt while another cluster was waited for.
		if wrong := c.wrong(t, commit); wrong != "" {
			t.Errorf("after %s %s was as the repository says, and then no longer: %s", after, c.name, wrong)
		}
		if absent := c.hosts.absences(); len(absent) > 0 {
			t.Errorf("after %s in %s a host was absent that every commit has:\n%s", after, c.name, strings.Join(absent, "\n"))
		}
	}
}

// suffer is one fault from its beginning until everything is well again.
func (w *world) suffer(t *testing.T, number int, f fault) {
	began := time.Now()
	// By its number, so that it draws the same when it is alone.
	random := rand.New(rand.NewPCG(w.seed^0x9e3779b97f4a7c15, uint64(number)))
	trial := &trial{T: t, world: w, number: number, random: random}
	if w.at != number-1 {
		trial.commit(number - 1)
		w.converge(t, "the state before")
	}
	name := fmt.Sprintf("fault %d, %s", number, f.name)
	treated, spoilt := w.treated(), w.git.gate.spoilt.Load()
	trial.time()
	endBeside := trial.beside(f)
	end := f.begin(trial)
	if w.at != number {
		trial.commit(number)
	}
	if f.through {
		w.converge(t, "the beginning of "+name)
	} else {
		trial.pause(0, 1200*time.Millisecond)
	}
	end()
	endBeside()
	ended := time.Now()
	w.converge(t, name+" ("+strings.Join(trial.did, "; ")+")")
	w.passed[f.name] = append(w.passed[f.name], time.Since(ended))
	t.Logf("seed %d, %s: %s; it met %d requests to API servers and %d to Git, lasted %.1fs, and all was well %.1fs later", w.seed, name, strings.Join(trial.did, "; "),
		w.treated()-treated, w.git.gate.spoilt.Load()-spoilt, ended.Sub(began).Seconds(), time.Since(ended).Seconds())
	if f.rests {
		w.rests(t)
	}
}

// beside begins, now and then, a second fault around one that has nothing to do with it.
func (w *trial) beside(f fault) (end func()) {
	var apart []fault
	for _, other := range faults {
		if other.beside {
			apart = append(apart, other)
		}
	}
	if f.apart || !w.chance(0.2) {
		return func() {}
	}
	other := pick(w, apart)
	w.tell("beside %s", other.name)
	return other.begin(w)
}

// treated are the requests to API servers that did not just pass.
func (w *world) treated() (n int64) {
	for _, k := range w.controllers() {
		n += k.relay.treated.Load()
	}
	return n
}

// commit makes the branch the state of this number.
func (w *trial) commit(n int) {
	w.Helper()
	w.git.commit(w.T, meshOf(w.seed, n))
	w.at = n
}

func (w *trial) tell(format string, args ...any) { w.did = append(w.did, fmt.Sprintf(format, args...)) }

// pause waits for a time between two.
func (w *trial) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(w.random.Int64N(int64(most-least))))
}

// chance is true with a probability.
func (w *trial) chance(p float64) bool { return w.random.Float64() < p }

// someClusters are one, two or all.
func (w *trial) someClusters() []*cluster {
	order := w.random.Perm(len(w.clusters))
	var out []*cluster
	var names []string
	for _, i := range order[:1+w.random.IntN(len(order))] {
		out = append(out, w.clusters[i])
		names = append(names, w.clusters[i].name)
	}
	w.tell("in %s", strings.Join(names, ", "))
	return out
}

// controllers are those of all clusters.
func (w *world) controllers() []*controller {
	var out []*controller
	for _, c := range w.clusters {
		out = append(out, c.controllers...)
	}
	return out
}

// time lets some faults happen while what leaves the repository stays for a while.
func (w *trial) time() {
	settle, withdraw := time.Duration(0), time.Duration(0)
	if w.chance(0.2) {
		settle, withdraw = time.Second, 2*time.Second
		w.tell("routingDelay %s, withdrawAfter %s", settle, withdraw)
	}
	for _, c := range w.clusters {
		c.timing(w.T, settle, withdraw)
	}
}

// rests makes sure that nobody writes anything when nothing happens, and that nobody looks much more often than its interval says.
func (w *world) rests(t *testing.T) {
	t.Helper()
	before := map[string]map[string]string{}
	logged, written := map[string]int64{}, map[string]int64{}
	for _, c := range w.clusters {
		var err error
		before[c.name], err = c.versions(t.Context())
		must(t, err)
	}
	for _, k := range w.controllers() {
		logged[k.name], written[k.name] = k.logSize(), k.relay.written.Load()
	}
	const looks = 10
	time.Sleep(looks * interval)
	for _, c := range w.clusters {
		after, err := c.versions(t.Context())
		must(t, err)
		if diff := gocmp.Diff(before[c.name], after); diff != "" {
			t.Errorf("nothing happens any more, but in %s something was written: -before, +after:\n%s", c.name, diff)
		}
	}
	for _, k := range w.controllers() {
		if runs := strings.Count(k.logged(logged[k.name]), runEnds); runs > 3*looks {
			t.Errorf("nothing happens any more, but %s looked %d times in %d intervals", k.name, runs, looks)
		}
		// A status may still be told once.
		if writes := k.relay.written.Load() - written[k.name]; writes > 2 {
			t.Errorf("nothing happens any more, but %s wrote %d times in %d intervals", k.name, writes, looks)
		}
	}
}

// report is a table of what happened.
func (w *world) report() string {
	var out strings.Builder
	fmt.Fprintf(&out, "seed %d, %s\n", w.seed, time.Since(w.started).Round(time.Second))
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tCOUNT\tWELL AFTER, MEAN\tLONGEST")
	total := 0
	for _, name := range slices.Sorted(maps.Keys(w.passed)) {
		took := w.passed[name]
		total += len(took)
		var sum time.Duration
		for _, one := range took {
			sum += one
		}
		fmt.Fprintf(table, "%s\t%d\t%.1fs\t%.1fs\n", name, len(took), (sum / time.Duration(len(took))).Seconds(), slices.Max(took).Seconds())
	}
	fmt.Fprintf(table, "all\t%d\t\t\n", total)
	_ = table.Flush()
	var starts, written, events int64
	exits := map[string]int{}
	for _, c := range w.clusters {
		events += int64(c.hosts.events)
		for _, k := range c.controllers {
			began, ended := k.counts()
			starts += int64(began)
			for _, exit := range ended {
				exits[exit]++
			}
			written += k.relay.written.Load()
		}
	}
	fmt.Fprintf(&out, "%d commits, %d writes that an API server accepted, %d requests to one that were refused, cut or held, and %d to Git; "+
		"%d processes started; hosts were looked at %d times\n", w.git.commits, written, w.treated(), w.git.gate.spoilt.Load(), starts, events)
	for _, exit := range slices.SortedFunc(maps.Keys(exits), cmp.Compare) {
		fmt.Fprintf(&out, "%d times %s\n", exits[exit], exit)
	}
	return out.String()
}

// upTo is some time, none included.
func (w *trial) upTo(most time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(most)))
}

// dice gives numbers below 1 to whoever asks, from many goroutines.
func (w *trial) dice() func() float64 {
	random := rand.New(rand.NewPCG(w.random.Uint64(), 0))
	var mutex sync.Mutex
	return func() float64 {
		mutex.Lock()
		defer mutex.Unlock()
		return random.Float64()
	}
}
