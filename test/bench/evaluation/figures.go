package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
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
	figure.Progress
	log io.Writer
	// exports caches the cost of cue export by repository.
	exports map[bench.Repository]usage
	// written are the repositories that this run has written.
	written map[bench.Repository]bool
	// others is the number of processors that other work used during each measurement.
	others []float64
}

// Limits. Those of changes are shares of the time of cue export.
const (
	changeLimit = 1. / 100
	aloneLimit  = 1. / 500
	warmLimit   = 1. / 20
	growthLimit = 1.2
	// flatLimit allows for memory that the Go runtime returns later.
	flatLimit = 1.05
)

var measurements = []figure.Measurement[*benchmark]{
	{Name: "cold", Measure: (*benchmark).cold},
	{Name: "warm", Measure: (*benchmark).warmCache},
	{Name: "changed", Measure: (*benchmark).change},
	{Name: "growth", Measure: (*benchmark).growth},
}

// newBenchmark builds both commands.
func newBenchmark(ctx context.Context, p plan, checkout, dir string, log io.Writer) (*benchmark, error) {
	b := &benchmark{plan: p, checkout: checkout, dir: dir, Progress: figure.NewProgress(log), log: log, exports: map[bench.Repository]usage{}, written: map[bench.Repository]bool{}}
	var err error
	if b.cue, err = cuecmd.Build(); err != nil {
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
	// With the flags of the Makefile.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.isthmus, "./cmd/isthmus")
	build.Dir, build.Env = b.checkout, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return b, nil
}

func (b *benchmark) run(ctx context.Context) (figure.Report, error) {
	rows, err := figure.MeasureAll(ctx, b, measurements, b.only)
	return figure.Report{Took: time.Since(b.Began), With: "CUE " + figure.ModuleVersion("cuelang.org/go"), Others: b.others, Rows: rows}, err
}

func shape(r bench.Repository) string {
	return fmt.Sprintf("%s services, %d clusters", figure.Thousands(r.Services), r.Clusters)
}

func name(r bench.Repository) string { return fmt.Sprintf("%d-%d", r.Services, r.Clusters) }

// repository returns the folder of a repository. Each run writes it again, because it contains the
// CUE module: with another version of the module, a mesh is evaluated in one piece.
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

// export measures cue export, once for each repository.
func (b *benchmark) export(ctx context.Context, r bench.Repository) (usage, error) {
	if u, ok := b.exports[r]; ok {
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
	b.Logf("cue export, %s: %s", shape(r), u)
	b.exports[r] = u
	b.others = append(b.others, u.others)
	return u, nil
}

// render measures isthmus render.
func (b *benchmark) render(ctx context.Context, r bench.Repository, cacheDir, what string) (usage, error) {
	dir, err := b.repository(r)
	if err != nil {
		return usage{}, err
	}
	u, err := measure(ctx, dir, b.output("isthmus", r), b.isthmus, "render", "--cluster", cluster, "-o", "json", "--cache-dir", cacheDir, "--timeout", "1h")
	if err != nil {
		return u, err
	}
	b.Logf("isthmus render, %s, %s: %s", shape(r), what, u)
	b.others = append(b.others, u.others)
	return u, nil
}

func (b *benchmark) output(of string, r bench.Repository) string {
	return filepath.Join(b.dir, of+"-"+name(r)+".json")
}

// same compares the outputs of both commands.
func (b *benchmark) same(r bench.Repository) error {
	n, err := compare(b.output("isthmus", r), b.output("cue", r))
	if err != nil {
		return err
	}
	b.Logf("%s: both outputs have the same %s resources", shape(r), figure.Thousands(n))
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
	// coldTimes is the largest number of measurements of a pair. It is repeated while other work used
	// more than quiet processors and a limit was missed.
	coldTimes = 3
	quiet     = 0.25
)

// coldPair measures both commands. Other work slows isthmus more than cue, which hardly uses a
// second processor. So a pair that missed a limit during other work is measured again, and the pair
// with the least other work counts.
func (b *benchmark) coldPair(ctx context.Context, f coldFigure) ([]figure.Row, error) {
	var rows []figure.Row
	least := math.Inf(1)
	for range coldTimes {
		delete(b.exports, f.repo)
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

// warmCache renders in new processes with the cache of a first one.
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
	ours := figure.MedianBy(warm, wallTime)
	return []figure.Row{
		timeRow("cold and filling a cache, "+shape(r)+": time", 0, first, theirs),
		memoryRow(0, first, theirs),
		{
			Figure: "restart on the warm cache: time", Limit: warmLimit, Of: "cold", Measured: ours.wall.Seconds() / first.wall.Seconds(),
			Ours: withCPU(ours) + ", " + figure.Bytes(ours.memory), Theirs: withCPU(first) + ", " + figure.Bytes(first.memory),
		},
	}, nil
}

// change evaluates commits in a child process with the state of a controller.
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
		b.Logf("commits, %s", shape(f.repo))
		h, err := figure.Ask[controllerRequest, controllerResponse](ctx, controllerCommand,
			controllerRequest{Dir: dir, CacheDir: cacheDir, Changes: b.changes, Commits: f.commits, Verify: b.verify}, b.log)
		if err != nil {
			return nil, err
		}
		b.Logf("done with commits, %s", shape(f.repo))
		rows = append(rows, changeRows(f, h, theirs)...)
		rows = append(rows, memoryRows(f, h)...)
	}
	return rows, nil
}

// growth compares the cost per service of a large and of a small repository.
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
	small := figure.MedianBy(few, wallTime)
	factor := float64(b.large.Services) / float64(b.small.Services)
	growth := fmt.Sprintf("growth from %s to %s services, %d clusters: ", figure.Thousands(b.small.Services), figure.Thousands(b.large.Services), b.large.Clusters)
	return []figure.Row{
		{
			Figure: growth + "time of each", Limit: growthLimit, Of: "then", Measured: many.wall.Seconds() / small.wall.Seconds() / factor,
			Ours: withCPU(many), Theirs: withCPU(small),
		},
		{
			Figure: "the same: memory of each", Limit: growthLimit, Of: "then", Measured: float64(many.memory) / float64(small.memory) / factor,
			Ours: figure.Bytes(many.memory), Theirs: figure.Bytes(small.memory),
		},
	}, nil
}
