//go:build linux

package torture_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

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
	env := newEnvironment(t, seed)
	drawn := draw(seed, count)
	for i, f := range drawn {
		if end, ok := t.Deadline(); ok && time.Until(end) < deadline+time.Minute {
			t.Fatalf("the timeout of the test leaves no time for more than %d of %d faults", i, len(drawn))
		}
		if !t.Run(fmt.Sprintf("%03d-%s", i+1, f.name), func(t *testing.T) { env.run(t, i+1, f) }) {
			break
		}
	}
	if !t.Failed() {
		env.checkIdle(t)
	}
	t.Log(env.report())
}

// draw returns the faults of a run. Each kind occurs in proportion to its weight. If count is 0,
// each quick kind occurs once.
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

// report returns the counts of the run and the recovery times by kind of fault.
func (env *environment) report() string {
	var out strings.Builder
	fmt.Fprintf(&out, "seed %d, %s\n", env.seed, time.Since(env.started).Round(time.Second))
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tCOUNT\tMEAN RECOVERY\tLONGEST")
	total := 0
	for _, name := range slices.Sorted(maps.Keys(env.recoveries)) {
		took := env.recoveries[name]
		total += len(took)
		var sum time.Duration
		for _, one := range took {
			sum += one
		}
		fmt.Fprintf(table, "%s\t%d\t%.1fs\t%.1fs\n", name, len(took), (sum / time.Duration(len(took))).Seconds(), slices.Max(took).Seconds())
	}
	fmt.Fprintf(table, "all\t%d\t\t\n", total)
	_ = table.Flush()
	var starts, written, checks int
	exits := map[string]int{}
	for _, c := range env.clusters {
		checks += c.hosts.Events()
		for _, k := range c.controllers {
			started, ended := k.counts()
			starts += started
			for _, exit := range ended {
				exits[exit]++
			}
			written += int(k.relay.written.Load())
		}
	}
	fmt.Fprintf(&out, "%d commits, %d accepted writes, %d disturbed requests to API servers and %d to Git, %d processes, %d checks of required hosts\n",
		env.git.commits, written, env.disturbed(), env.git.proxy.disturbed.Load(), starts, checks)
	for _, exit := range slices.Sorted(maps.Keys(exits)) {
		fmt.Fprintf(&out, "%d times %s\n", exits[exit], exit)
	}
	return out.String()
}
