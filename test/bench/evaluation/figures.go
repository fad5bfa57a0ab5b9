package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

// benchmark is one run of the plan.
type benchmark struct {
	plan
	checkout, dir string
	isthmus, cue  string
	log           io.Writer
	// peer is what cue export took of a repository.
	peer map[bench.Repository]usage
	// written are the repositories of this run.
	written map[bench.Repository]bool
	// others is how many processors other work used, while each process was measured.
	others []float64
	began  time.Time
}

// The bars of what is changed, as parts of cue export's time.
const (
	changeBar = 1. / 100
	aloneBar  = 1. / 500
	warmBar   = 1. / 20
	growthBar = 1.2
	// flatBar allows for what the Go runtime gives back now or later.
	flatBar = 1.05
)

var figures = []struct {
	name    string
	measure func(*benchmark, context.Context) ([]figure.Row, error)
}{
	{"cold", (*benchmark).cold},
	{"warm", (*benchmark).warmCache},
	{"changed", (*benchmark).change},
	{"growth", (*benchmark).growth},
}

func figureNames() []string {
	var names []string
	for _, f := range figures {
		names = append(names, f.name)
	}
	return names
}

// newBench builds both programs.
func newBench(ctx context.Context, p plan, dir string, log io.Writer) (*benchmark, error) {
	b := &benchmark{plan: p, dir: dir, log: log, peer: map[bench.Repository]usage{}, written: map[bench.Repository]bool{}, began: time.Now()}
	var err error
	if b.cue, err = cuecmd.Build(); err != nil {
		return nil, err
	}
	if b.checkout, err = figure.Checkout(ctx); err != nil {
		return nil, err
	}
	if b.dir == "" {
		b.dir, err = os.MkdirTemp("", "isthmus-bench-")
	} else {
		err = os.MkdirAll(b.dir, 0o755)
	}
	if err != nil {
		return nil, err
	}
	b.isthmus = filepath.Join(b.dir, "isthmus")
	// As the Makefile builds it.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.isthmus, "./cmd/isthmus")
	build.Dir, build.Env = b.checkout, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return b, nil
}

func (b *benchmark) run(ctx context.Context) ([]figure.Row, error) {
	var rows []figure.Row
	for _, f := range figures {
		if b.only != nil && !slices.Contains(b.only, f.name) {
			continue
		}
		more, err := f.measure(b, ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (b *benchmark) say(format string, args ...any) {
	fmt.Fprintf(b.log, "%s load %s: %s\n", figure.Seconds(time.Since(b.began)), figure.LoadAverage(), fmt.Sprintf(format, args...))
}

func shape(r bench.Repository) string {
	return fmt.Sprintf("%s services, %d clusters", figure.Thousands(r.Services), r.Clusters)
}

func name(r bench.Repository) string { return fmt.Sprintf("%d-%d", r.Services, r.Clusters) }

// repository is the folder of a repository. It is written anew in each run: it holds the module, and with another one than the program's
// a mesh is evaluated as a whole.
func (b *benchmark) repository(r bench.Repository) (string, error) {
	dir := filepath.Join(b.dir, "repository-"+name(r))
	if b.written[r] {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	b.written[r] = true
	return dir, r.Write(dir)
}

// export is what cue export takes; it is measured once.
func (b *benchmark) export(ctx context.Context, r bench.Repository) (usage, error) {
	if u, ok := b.peer[r]; ok {
		return u, nil
	}
	dir, err := b.repository(r)
	if err != nil {
		return usage{}, err
	}
	u, err := measure(ctx, dir, b.output("cue", r), b.cue, "export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	if err != nil {
		return u, err
	}
	b.say("cue export, %s: %s", shape(r), u)
	b.peer[r] = u
	b.others = append(b.others, u.others)
	return u, nil
}

// render is what isthmus render takes.
func (b *benchmark) render(ctx context.Context, r bench.Repository, cacheDir, what string) (usage, error) {
	dir, err := b.repository(r)
	if err != nil {
		return usage{}, err
	}
	u, err := measure(ctx, dir, b.output("isthmus", r), b.isthmus, "render", "--cluster", cluster, "-o", "json", "--cache-dir", cacheDir, "--timeout", "1h")
	if err != nil {
		return u, err
	}
	b.say("isthmus render, %s, %s: %s", shape(r), what, u)
	b.others = append(b.others, u.others)
	return u, nil
}

func (b *benchmark) output(of string, r bench.Repository) string {
	return filepath.Join(b.dir, of+"-"+name(r)+".json")
}

// same holds what both made of a repository against each other.
func (b *benchmark) same(r bench.Repository) error {
	n, err := compare(b.output("isthmus", r), b.output("cue", r))
	if err != nil {
		return err
	}
	b.say("%s: both have the same %s resources", shape(r), figure.Thousands(n))
	return nil
}

// cold renders without a cache.
func (b *benchmark) cold(ctx context.Context) ([]figure.Row, error) {
	var rows []figure.Row
	for _, f := range b.plan.cold {
		pair, err := b.coldPair(ctx, f)
		if err != nil {
			return nil, err
		}
		rows = append(rows, pair...)
	}
	return rows, nil
}

const (
	// coldTimes is how often a pair is measured at most, as long as others used more than quiet processors and a bar was missed.
	coldTimes = 3
	quiet     = 0.25
)

// coldPair measures one beside the other. Other work takes the second processor from us and not from cue, which has little use for it: what
// missed a bar at such a time is measured again, and the quietest pair counts.
func (b *benchmark) coldPair(ctx context.Context, f coldFigure) ([]figure.Row, error) {
	var rows []figure.Row
	least := math.Inf(1)
	for range coldTimes {
		delete(b.peer, f.repo)
		theirs, err := b.export(ctx, f.repo)
		if err != nil {
			return nil, err
		}
		ours, err := b.render(ctx, f.repo, "", "cold")
		if err != nil {
			return nil, err
		}
		if err := b.same(f.repo); err != nil {
			return nil, err
		}
		others := max(theirs.others, ours.others)
		if others < least {
			least = others
			rows = []figure.Row{
				timeRow("cold, "+shape(f.repo)+": time", f.time, ours, theirs),
				memoryRow(f.memory, ours, theirs),
			}
		}
		if least <= quiet || !rows[0].Missed() {
			break
		}
	}
	return rows, nil
}

func memoryRow(bar float64, ours, theirs usage) figure.Row {
	return figure.Row{
		Figure: "the same: memory", Bar: bar, Of: "`cue export`", Measured: float64(ours.memory) / float64(theirs.memory),
		Ours: fmt.Sprintf("%s (itself %s, children %s)", figure.Bytes(ours.memory), figure.Bytes(ours.own), figure.Bytes(ours.children)), Theirs: figure.Bytes(theirs.memory),
	}
}

func timeRow(what string, bar float64, ours, theirs usage) figure.Row {
	return figure.Row{
		Figure: what, Bar: bar, Of: "`cue export`", Measured: ours.wall.Seconds() / theirs.wall.Seconds(),
		Ours: withCPU(ours), Theirs: withCPU(theirs),
	}
}

func withCPU(u usage) string {
	return fmt.Sprintf("%s (%s of processors)", figure.Seconds(u.wall), figure.Seconds(u.cpu))
}

// warmCache renders again, in new processes, on the cache of a first one.
func (b *benchmark) warmCache(ctx context.Context) ([]figure.Row, error) {
	r := b.changed[0].repo
	cacheDir := filepath.Join(b.dir, "cache-"+name(r))
	if err := os.RemoveAll(cacheDir); err != nil {
		return nil, err
	}
	theirs, err := b.export(ctx, r)
	if err != nil {
		return nil, err
	}
	first, err := b.render(ctx, r, cacheDir, "cold, with a cache")
	if err != nil {
		return nil, err
	}
	if err := b.same(r); err != nil {
		return nil, err
	}
	var warm []usage
	for range b.warm {
		u, err := b.render(ctx, r, cacheDir, "warm")
		if err != nil {
			return nil, err
		}
		warm = append(warm, u)
	}
	if err := b.same(r); err != nil {
		return nil, err
	}
	ours := medianUsage(warm)
	return []figure.Row{
		timeRow("cold and filling a cache, "+shape(r)+": time", 0, first, theirs),
		memoryRow(0, first, theirs),
		{
			Figure: "restart on the warm cache: time", Bar: warmBar, Of: "cold", Measured: ours.wall.Seconds() / first.wall.Seconds(),
			Ours: withCPU(ours) + ", " + figure.Bytes(ours.memory), Theirs: withCPU(first) + ", " + figure.Bytes(first.memory),
		},
	}, nil
}

// change makes commits, in a process that holds what a controller holds.
func (b *benchmark) change(ctx context.Context) ([]figure.Row, error) {
	var rows []figure.Row
	for _, f := range b.changed {
		theirs, err := b.export(ctx, f.repo)
		if err != nil {
			return nil, err
		}
		dir, err := b.repository(f.repo)
		if err != nil {
			return nil, err
		}
		cacheDir := filepath.Join(b.dir, "controller-cache-"+name(f.repo))
		if err := os.RemoveAll(cacheDir); err != nil {
			return nil, err
		}
		b.say("commits, %s", shape(f.repo))
		h, err := ask(ctx, errands{Dir: dir, CacheDir: cacheDir, Changes: b.changes, Commits: f.commits, Verify: b.verify}, b.log)
		if err != nil {
			return nil, err
		}
		b.say("done with commits, %s", shape(f.repo))
		rows = append(rows, changeRows(f, h, theirs)...)
		rows = append(rows, memoryRows(f, h)...)
	}
	return rows, nil
}

func changeRows(f changedFigure, h held, theirs usage) []figure.Row {
	of := func(d func(made) time.Duration) time.Duration {
		var all []time.Duration
		for _, m := range h.Changes {
			all = append(all, d(m))
		}
		return figure.Median(all)
	}
	total, alone := of(func(m made) time.Duration { return m.Total }), of(func(m made) time.Duration { return m.Alone })
	children, rendering := of(func(m made) time.Duration { return m.Children }), of(func(m made) time.Duration { return m.Render })
	calls := 0
	var nothing []time.Duration
	for _, m := range h.Nothing {
		calls += m.Work.Calls
		nothing = append(nothing, m.Total)
	}
	bars := []float64{changeBar, aloneBar}
	if !f.judged {
		bars = []float64{0, 0}
	}
	return []figure.Row{
		{
			Figure: "one service changed, " + shape(f.repo) + ": commit to bundle", Bar: bars[0], Of: "`cue export`", Measured: total.Seconds() / theirs.wall.Seconds(),
			Ours:   fmt.Sprintf("%s, median of %d (of it a child's start %s, rendering %s)", figure.Seconds(total), len(h.Changes), figure.Seconds(h.Start), figure.Seconds(rendering)),
			Theirs: figure.Seconds(theirs.wall),
		},
		{
			Figure: "the same: the evaluation alone", Bar: bars[1], Of: "`cue export`", Measured: alone.Seconds() / theirs.wall.Seconds(),
			Ours: fmt.Sprintf("%s without the child's start (%s of the child's processors)", figure.Seconds(alone), figure.Seconds(children)), Theirs: figure.Seconds(theirs.wall),
		},
		{
			Figure: "nothing changed here, " + shape(f.repo) + ": calls to children", Bar: 0, Count: true, Measured: float64(calls),
			Ours: fmt.Sprintf("%d calls, %s to the bundle", calls, figure.Seconds(figure.Median(nothing))),
		},
	}
}

func memoryRows(f changedFigure, h held) []figure.Row {
	if len(h.Memory) < 2 {
		return nil
	}
	first, last := h.Memory[0], h.Memory[len(h.Memory)-1]
	r := figure.Row{
		Figure: fmt.Sprintf("controller's memory after %s commits, %s", figure.Thousands(last.Commit), shape(f.repo)), Bytes: true, Bar: f.limit, Measured: float64(last.Resident),
		Ours: fmt.Sprintf("%s live; between two measurements at most %s, and the children %s; a commit took %s", figure.Bytes(last.Heap), figure.Bytes(h.Peaks.Own),
			figure.Bytes(h.Peaks.Children), figure.Seconds(h.Median)),
	}
	flat := figure.Row{
		Figure: "the same: growth since the first " + figure.Thousands(first.Commit), Bar: flatBar, Of: "then", Measured: float64(last.Resident) / float64(first.Resident), Exact: true,
		Ours: figure.Bytes(last.Resident), Theirs: figure.Bytes(first.Resident),
	}
	if f.limit == 0 {
		flat.Bar = 0
	}
	return []figure.Row{r, flat}
}

// growth is what a service costs among many, against what it costs among few.
func (b *benchmark) growth(ctx context.Context) ([]figure.Row, error) {
	var few []usage
	for range b.smallTimes {
		u, err := b.render(ctx, b.small, "", "cold")
		if err != nil {
			return nil, err
		}
		few = append(few, u)
	}
	many, err := b.render(ctx, b.large, "", "cold")
	if err != nil {
		return nil, err
	}
	small := medianUsage(few)
	factor := float64(b.large.Services) / float64(b.small.Services)
	growth := fmt.Sprintf("growth from %s to %s services, %d clusters: ", figure.Thousands(b.small.Services), figure.Thousands(b.large.Services), b.large.Clusters)
	return []figure.Row{
		{
			Figure: growth + "time of each", Bar: growthBar, Of: "then", Measured: many.wall.Seconds() / small.wall.Seconds() / factor,
			Ours: withCPU(many), Theirs: withCPU(small),
		},
		{
			Figure: "the same: memory of each", Bar: growthBar, Of: "then", Measured: float64(many.memory) / float64(small.memory) / factor,
			Ours: figure.Bytes(many.memory), Theirs: figure.Bytes(small.memory),
		},
	}, nil
}

// medianUsage is the one whose time is in the middle.
func medianUsage(of []usage) usage {
	s := slices.SortedFunc(slices.Values(of), func(a, b usage) int { return int(a.wall - b.wall) })
	return s[len(s)/2]
}
