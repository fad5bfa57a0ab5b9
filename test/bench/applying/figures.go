package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
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
	log io.Writer
	// many is the bundle of the larger mesh, once it was made.
	many *render.Bundle
	// others is how many processors other work used, while each side was measured.
	others []float64
	began  time.Time
}

var figures = []struct {
	name    string
	measure func(*benchmark, context.Context) ([]figure.Row, error)
}{
	{"everything", (*benchmark).everything},
	{"memory", (*benchmark).memory},
	{"change", (*benchmark).change}, // of what the memory was measured with
}

func figureNames() []string {
	var names []string
	for _, f := range figures {
		names = append(names, f.name)
	}
	return names
}

// measure runs the plan on an API server of its own.
func measure(ctx context.Context, p plan, log io.Writer) (report figure.Report, err error) {
	b := &benchmark{plan: p, log: log, began: time.Now()}
	if b.cluster, err = startCluster(ctx); err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.fleet.Stop()) }()
	for _, f := range figures {
		if b.only != nil && !slices.Contains(b.only, f.name) {
			continue
		}
		rows, err := f.measure(b, ctx)
		if err != nil {
			return report, fmt.Errorf("%s: %w", f.name, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.Took, report.With, report.Others = time.Since(b.began), with(), b.others
	return report, nil
}

// with names what both sides stand on.
func with() string {
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	return fmt.Sprintf("fluxcd/pkg/ssa %s and client-go %s", versions["github.com/fluxcd/pkg/ssa"], versions["k8s.io/client-go"])
}

func (b *benchmark) say(format string, args ...any) {
	fmt.Fprintf(b.log, "%s load %s: %s\n", figure.Seconds(time.Since(b.began)), figure.LoadAverage(), fmt.Sprintf(format, args...))
}

// usage is what something took.
type usage struct {
	wall time.Duration
	// own and server are processor time of this process, and of the API server with its etcd.
	own, server time.Duration
	sent        count
}

func (u usage) String() string {
	return fmt.Sprintf("%s (%s of processors, the API server %s), %s", figure.Seconds(u.wall), figure.Seconds(u.own), figure.Seconds(u.server), u.sent)
}

// measured takes the time, and counts the requests, of what is done.
func (b *benchmark) measured(sent *requests, do func() error) (usage, error) {
	runtime.GC() // what was before does not count
	before, busy, own, server := sent.count(), figure.BusyTime(), figure.ProcessorTime(syscall.RUSAGE_SELF), b.busy()
	began := time.Now()
	err := do()
	u := usage{wall: time.Since(began)}
	u.own, u.server = figure.ProcessorTime(syscall.RUSAGE_SELF)-own, b.busy()-server
	u.sent = sent.count().since(before)
	if u.wall > time.Second { // the machine counts in hundredths of a second
		b.others = append(b.others, max(0, (figure.BusyTime()-busy-u.own-u.server).Seconds()/u.wall.Seconds()))
	}
	return u, err
}

// middle is the usage whose time is in the middle.
func middle(of []usage) usage {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b usage) int { return int(a.wall - b.wall) })
	return sorted[len(sorted)/2]
}

// side is what one side took to apply everything to an empty cluster, and to find that nothing is to be done.
type side struct{ first, nothing []usage }

// everything applies all objects to an empty cluster and then again, from all sides in turn.
func (b *benchmark) everything(ctx context.Context) ([]figure.Row, error) {
	bundle, err := b.bundle(ctx, b.some)
	if err != nil {
		return nil, err
	}
	ours, theirs := &side{}, make([]side, len(peers))
	for round := range b.rounds {
		for i := range peers {
			if round > 0 && !peers[i].judged {
				continue
			}
			if err := b.theirs(ctx, bundle, peers[i].sideBySide, &theirs[i]); err != nil {
				return nil, fmt.Errorf("ApplyAll, %d at a time: %w", peers[i].sideBySide, err)
			}
		}
		if err := b.ours(ctx, bundle, ours); err != nil {
			return nil, fmt.Errorf("our side: %w", err)
		}
	}
	return everythingRows(len(bundle.Resources), ours, theirs), nil
}

// bundle renders a mesh and makes its namespaces, which ApplyAll does not.
func (b *benchmark) bundle(ctx context.Context, of size) (*render.Bundle, error) {
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
	b.say("%d objects of %d services: %s", len(bundle.Resources), of.services, strings.Join(counts, ", "))
	return bundle, b.prepare(ctx, namespaces(bundle))
}

func (b *benchmark) theirs(ctx context.Context, bundle *render.Bundle, sideBySide int, into *side) error {
	if err := b.clear(ctx); err != nil {
		return err
	}
	sent := &requests{}
	p, err := newPeer(sent.on(b.config), sideBySide, bundle)
	if err != nil {
		return err
	}
	first, err := b.measured(sent, func() error { return p.expect(ctx, ssa.CreatedAction) })
	if err != nil {
		return err
	}
	b.say("ApplyAll, %d at a time, first: %s", sideBySide, first)
	nothing, err := b.measured(sent, func() error { return p.expect(ctx, ssa.UnchangedAction) })
	if err != nil {
		return err
	}
	b.say("ApplyAll, %d at a time, nothing to do: %s", sideBySide, nothing)
	into.first, into.nothing = append(into.first, first), append(into.nothing, nothing)
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
	b.say("ours, first: %s", first)
	into.first = append(into.first, first)
	for range b.intervals {
		nothing, err := b.measured(sent, func() error {
			_, err := k.expect(ctx, bundle, 0, 0)
			return err
		})
		if err != nil {
			return err
		}
		into.nothing = append(into.nothing, nothing)
	}
	b.say("ours, nothing to do, the last ones: %s", middle(into.nothing[len(into.nothing)-b.intervals:]))
	return nil
}

func everythingRows(objects int, ours *side, theirs []side) []figure.Row {
	what := figure.Thousands(objects) + " objects"
	rows := sideRows("first sync of "+what+": time", firstBar, middle(ours.first), theirs, func(s side) usage { return middle(s.first) })
	var sent count
	for _, u := range ours.nothing {
		sent.reads, sent.writes = sent.reads+u.sent.reads, sent.writes+u.sent.writes
	}
	rows = append(rows, figure.Row{
		Figure: "interval with nothing to do, " + what + ": requests, watches and leases aside", Count: true, Measured: float64(sent.reads + sent.writes),
		Ours: fmt.Sprintf("%s in %d intervals", sent, len(ours.nothing)), Theirs: middle(theirs[0].nothing).sent.String(),
	})
	return append(rows, sideRows("the same: time", nothingBar, middle(ours.nothing), theirs, func(s side) usage { return middle(s.nothing) })...)
}

// sideRows hold ours against each of theirs.
func sideRows(what string, bar float64, ours usage, theirs []side, of func(side) usage) []figure.Row {
	var rows []figure.Row
	for i, p := range peers {
		their := of(theirs[i])
		row := figure.Row{
			Figure: what, Bar: bar, Of: fmt.Sprintf("`ApplyAll`, %d at a time", p.sideBySide), Measured: ours.wall.Seconds() / their.wall.Seconds(),
			Ours: ours.String(), Theirs: their.String(),
		}
		if !p.judged {
			row.Figure, row.Bar = "the same", 0
		}
		rows = append(rows, row)
	}
	return rows
}

// large renders the larger mesh, once.
func (b *benchmark) large(ctx context.Context) (*render.Bundle, error) {
	if b.many == nil {
		bundle, err := b.bundle(ctx, b.plan.many)
		if err != nil {
			return nil, err
		}
		b.many = bundle
	}
	return b.many, nil
}
