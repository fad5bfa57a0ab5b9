package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// tripsPerChange is the number of round trips that are measured with each change.
const tripsPerChange = 5

// change changes one object after another. It compares the time from the bundle to the applied
// object with a round trip, a GET of the object on the same connection, and with Apply of one
// changed object by the peer.
func (b *benchmark) change(ctx context.Context) ([]figure.Row, error) {
	bundle, err := b.largeBundle(ctx)
	if err != nil {
		return nil, err
	}
	sent := &requests{}
	k, err := newController(sent.on(b.config))
	if err != nil {
		return nil, err
	}
	defer k.start(ctx)()
	if _, _, err := k.sync(ctx, bundle); err != nil {
		return nil, err
	}
	if _, err := k.expect(ctx, bundle, 0, 0); err != nil {
		return nil, err
	}
	stopProfile, err := b.profile("change.cpu")
	if err != nil {
		return nil, err
	}
	var all changes
	_, err = b.measured(sent, func() error { return b.oneByOne(ctx, k, sent, bundle, &all) })
	stopProfile()
	if err != nil {
		return nil, err
	}
	if err := b.byPeer(ctx, bundle, &all); err != nil {
		return nil, err
	}
	b.Logf("changed one object %d times: %s; a round trip took %s", b.changes, all, figure.Seconds(figure.Median(all.trips)))
	return all.rows(len(bundle.Resources)), nil
}

// oneByOne applies one changed bundle after another.
func (b *benchmark) oneByOne(ctx context.Context, k *controller, sent *requests, bundle *render.Bundle, into *changes) error {
	for n := range b.changes {
		next, object, err := changed(bundle, n)
		if err != nil {
			return err
		}
		resource := k.client.Resource(virtualServices).Namespace(object.GetNamespace())
		// A request right after a collection takes a millisecond longer, so it is done before the GETs.
		runtime.GC()
		for range tripsPerChange {
			began := time.Now()
			if _, err := resource.Get(ctx, object.GetName(), metav1.GetOptions{}); err != nil {
				return err
			}
			into.trips = append(into.trips, time.Since(began))
		}
		before, own := sent.count(), figure.ProcessorTime(syscall.RUSAGE_SELF)
		took, err := k.expect(ctx, next, 0, 1)
		own = figure.ProcessorTime(syscall.RUSAGE_SELF) - own
		if err != nil {
			return err
		}
		if now := sent.count().since(before); now != (count{writes: 1}) {
			return fmt.Errorf("one changed object needed %s", now)
		}
		into.add(took, own)
		bundle = next
		// Between two commits, a controller has intervals with nothing to do.
		if _, err := k.expect(ctx, bundle, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// byPeer applies the same number of changed objects with the peer, one at a time.
func (b *benchmark) byPeer(ctx context.Context, bundle *render.Bundle, into *changes) error {
	none := *bundle
	none.Resources = nil
	p, err := newPeer(b.config, 1, &none)
	if err != nil {
		return err
	}
	for n := range b.changes {
		// The weights differ from those of oneByOne.
		_, object, err := changed(bundle, b.changes+n)
		if err != nil {
			return err
		}
		began := time.Now()
		entry, err := p.manager.Apply(ctx, object, ssa.DefaultApplyOptions())
		into.peer = append(into.peer, time.Since(began))
		if err != nil {
			return err
		}
		if entry.Action != ssa.ConfiguredAction {
			return fmt.Errorf("%s is %s, not %s", entry.Subject, entry.Action, ssa.ConfiguredAction)
		}
	}
	// The first Apply also discovers the kinds.
	into.peer = into.peer[1:]
	return nil
}

// changes are the durations of each change.
type changes struct{ total, look, plan, apply, own, trips, peer []time.Duration }

func (c *changes) add(s steps, own time.Duration) {
	c.total, c.look, c.plan, c.apply = append(c.total, s.total()), append(c.look, s.look), append(c.plan, s.plan), append(c.apply, s.apply)
	c.own = append(c.own, own)
}

func (c changes) String() string {
	m := func(of []time.Duration) string { return figure.Seconds(figure.Median(of)) }
	return fmt.Sprintf("%s, median of %d (looking %s, planning %s, writing %s; %s of processors)", m(c.total), len(c.total), m(c.look), m(c.plan), m(c.apply), m(c.own))
}

func (c changes) rows(objects int) []figure.Row {
	trip, write, peer := figure.Median(c.trips), figure.Median(c.apply), figure.Median(c.peer)
	theirs := fmt.Sprintf("%s, median of %d reads of one object", figure.Seconds(trip), len(c.trips))
	return []figure.Row{
		{
			Figure: fmt.Sprintf("one changed object among %s: bundle to applied", figure.Thousands(objects)),
			Limit:  changeLimit, Of: "a round trip", Measured: figure.Median(c.total).Seconds() / trip.Seconds(), Ours: c.String(), Theirs: theirs,
		},
		{Figure: "the same: the write alone", Of: "a round trip", Measured: write.Seconds() / trip.Seconds(), Ours: figure.Seconds(write), Theirs: theirs},
		{
			Figure: "the same: bundle to applied", Of: "`Apply` of that object alone", Measured: figure.Median(c.total).Seconds() / peer.Seconds(), Ours: c.String(),
			Theirs: fmt.Sprintf("%s, median of %d: a read, a dry run and a write", figure.Seconds(peer), len(c.peer)),
		},
	}
}

// profile writes a CPU profile until stop is called. It does nothing without -profiles.
func (b *benchmark) profile(name string) (stop func(), err error) {
	if b.profiles == "" {
		return func() {}, nil
	}
	file, err := os.Create(filepath.Join(b.profiles, name+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // only for development
	}, nil
}
