package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fluxcd/pkg/ssa"

	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// benchmark is one run of the plan.
type benchmark struct {
	plan
	*cluster
	figure.Progress
	log io.Writer
	// many is the bundle of the larger mesh, nil before its first use.
	many *render.Bundle
	// others is the number of processors that other work used during each measurement.
	others []float64
}

var measurements = []figure.Measurement[*benchmark]{
	{Name: "everything", Measure: (*benchmark).fullSync},
	{Name: "memory", Measure: (*benchmark).memory},
	{Name: "change", Measure: (*benchmark).change}, // changes the objects that memory created
}

// measure runs the plan with its own API server.
func measure(ctx context.Context, p plan, log io.Writer) (report figure.Report, err error) {
	b := &benchmark{plan: p, Progress: figure.NewProgress(log), log: log}
	if b.cluster, err = startCluster(ctx); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.fleet.Stop()) }()
	if report.Rows, err = figure.MeasureAll(ctx, b, measurements, b.only); err != nil {
		return report, err
	}
	report.With = fmt.Sprintf("fluxcd/pkg/ssa %s and client-go %s", figure.ModuleVersion("github.com/fluxcd/pkg/ssa"), figure.ModuleVersion("k8s.io/client-go"))
	report.Took, report.Others = time.Since(b.Began), b.others
	return report, nil
}

// usage is the cost of a measured step.
type usage struct {
	wall time.Duration
	// own and server are the processor times of this process and of the API server with etcd.
	own, server time.Duration
	sent        count
}

func (u usage) String() string {
	return fmt.Sprintf("%s (%s of processors, the API server %s), %s", figure.Seconds(u.wall), figure.Seconds(u.own), figure.Seconds(u.server), u.sent)
}

// measured measures the time and counts the requests of do.
func (b *benchmark) measured(sent *requests, do func() error) (usage, error) {
	runtime.GC() // garbage of earlier steps does not count
	before, busy, own, server := sent.count(), figure.BusyTime(), figure.ProcessorTime(syscall.RUSAGE_SELF), b.busy()
	began := time.Now()
	err := do()
	u := usage{wall: time.Since(began)}
	u.own, u.server = figure.ProcessorTime(syscall.RUSAGE_SELF)-own, b.busy()-server
	u.sent = sent.count().since(before)
	if u.wall > time.Second { // /proc/stat has a resolution of 10 ms
		b.others = append(b.others, max(0, (figure.BusyTime()-busy-u.own-u.server).Seconds()/u.wall.Seconds()))
	}
	return u, err
}

// medianUsage is the usage with the median time.
func medianUsage(of []usage) usage {
	return figure.MedianBy(of, func(u usage) int64 { return int64(u.wall) })
}

// side has the costs of one side: first syncs of an empty cluster, and syncs without a change.
type side struct{ first, idle []usage }

// fullSync applies all objects to an empty cluster and then again, with all sides in turn.
func (b *benchmark) fullSync(ctx context.Context) ([]figure.Row, error) {
	bundle, err := b.renderBundle(ctx, b.some)
	if err != nil {
		return nil, err
	}
	ours, theirs := &side{}, make([]side, len(peers))
	for round := range b.rounds {
		for i := range peers {
			if round > 0 && !peers[i].judged {
				continue
			}
			if err := b.theirs(ctx, bundle, peers[i].concurrency, &theirs[i]); err != nil {
				return nil, fmt.Errorf("ApplyAll, %d at a time: %w", peers[i].concurrency, err)
			}
		}
		if err := b.ours(ctx, bundle, ours); err != nil {
			return nil, fmt.Errorf("applying with Isthmus: %w", err)
		}
	}
	return fullSyncRows(len(bundle.Resources), ours, theirs), nil
}

// renderBundle renders a mesh and creates its namespaces.
func (b *benchmark) renderBundle(ctx context.Context, of size) (*render.Bundle, error) {
	m, err := newMaker()
	if err != nil {
		return nil, err
	}
	bundle, err := m.bundle(ctx, of)
	if err != nil {
		return nil, err
	}
	kinds := map[string]int{}
	for _, resource := range bundle.Resources {
		kinds[resource.Key.Kind]++
	}
	var counts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		counts = append(counts, fmt.Sprintf("%d %s", kinds[kind], kind))
	}
	b.Logf("%d objects of %d services: %s", len(bundle.Resources), of.services, strings.Join(counts, ", "))
	return bundle, b.prepare(ctx, namespaces(bundle))
}

func (b *benchmark) theirs(ctx context.Context, bundle *render.Bundle, concurrency int, into *side) error {
	if err := b.clear(ctx); err != nil {
		return err
	}
	sent := &requests{}
	p, err := newPeer(sent.on(b.config), concurrency, bundle)
	if err != nil {
		return err
	}
	first, err := b.measured(sent, func() error { return p.expect(ctx, ssa.CreatedAction) })
	if err != nil {
		return err
	}
	b.Logf("ApplyAll, %d at a time, first: %s", concurrency, first)
	idle, err := b.measured(sent, func() error { return p.expect(ctx, ssa.UnchangedAction) })
	if err != nil {
		return err
	}
	b.Logf("ApplyAll, %d at a time, nothing to do: %s", concurrency, idle)
	into.first, into.idle = append(into.first, first), append(into.idle, idle)
	return nil
}

func (b *benchmark) ours(ctx context.Context, bundle *render.Bundle, into *side) error {
	if err := b.clear(ctx); err != nil {
		return err
	}
	sent := &requests{}
	k, err := newController(sent.on(b.config))
	if err != nil {
		return err
	}
	stop := func() {}
	defer func() { stop() }()
	first, err := b.measured(sent, func() error {
		stop = k.start(ctx)
		_, err := k.expect(ctx, bundle, len(bundle.Resources), 0)
		return err
	})
	if err != nil {
		return err
	}
	b.Logf("Isthmus, first: %s", first)
	into.first = append(into.first, first)
	for range b.intervals {
		idle, err := b.measured(sent, func() error {
			_, err := k.expect(ctx, bundle, 0, 0)
			return err
		})
		if err != nil {
			return err
		}
		into.idle = append(into.idle, idle)
	}
	b.Logf("Isthmus, nothing to do, median: %s", medianUsage(into.idle[len(into.idle)-b.intervals:]))
	return nil
}

func fullSyncRows(objects int, ours *side, theirs []side) []figure.Row {
	what := figure.Thousands(objects) + " objects"
	rows := sideRows("first sync of "+what+": time", firstLimit, medianUsage(ours.first), theirs, func(s side) usage { return medianUsage(s.first) })
	var sent count
	for _, u := range ours.idle {
		sent.reads, sent.writes = sent.reads+u.sent.reads, sent.writes+u.sent.writes
	}
	rows = append(rows, figure.Row{
		Figure: "interval with nothing to do, " + what + ": requests, watches and leases aside", Count: true, Measured: float64(sent.reads + sent.writes),
		Ours: fmt.Sprintf("%s in %d intervals", sent, len(ours.idle)), Theirs: medianUsage(theirs[0].idle).sent.String(),
	})
	return append(rows, sideRows("the same: time", idleLimit, medianUsage(ours.idle), theirs, func(s side) usage { return medianUsage(s.idle) })...)
}

// sideRows compare Isthmus with each peer.
func sideRows(what string, limit float64, ours usage, theirs []side, of func(side) usage) []figure.Row {
	var rows []figure.Row
	for i, p := range peers {
		their := of(theirs[i])
		row := figure.Row{
			Figure: what, Limit: limit, Of: fmt.Sprintf("`ApplyAll`, %d at a time", p.concurrency), Measured: ours.wall.Seconds() / their.wall.Seconds(),
			Ours: ours.String(), Theirs: their.String(),
		}
		if !p.judged {
			row.Figure, row.Limit = "the same", 0
		}
		rows = append(rows, row)
	}
	return rows
}

// largeBundle renders the larger mesh once.
func (b *benchmark) largeBundle(ctx context.Context) (*render.Bundle, error) {
	if b.many == nil {
		bundle, err := b.renderBundle(ctx, b.plan.many)
		if err != nil {
			return nil, err
		}
		b.many = bundle
	}
	return b.many, nil
}
