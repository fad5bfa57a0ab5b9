// Command latency measures how long a commit takes from `git push` to the cluster, beside what plain tools take for the same: `cue export` of
// the cluster's resources and server-side apply of those that changed.
//
// All is real: the command isthmus-controller as a process of its own, a Git server, an API server. What a webhook does is done by the annotation
// reconcile.fluxcd.io/requestedAt, as soon as the push has returned. A commit has arrived when the status of the MeshSync says that it is applied.
//
// Run it from within the checkout: go run ./test/bench/latency
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

const (
	// program is the name under which the table is kept.
	program = "test/bench/latency"
	// cluster is the one of the mesh that is measured.
	cluster = "c0"
	// bar is the part of what plain tools take.
	bar = 1. / 20
	// pushes is how many commits are made.
	pushes = 15
)

var errMissed = errors.New("a bar is missed by more than a quarter")

func main() {
	sandbox.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1) //nolint:forbidigo // a program of its own
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	ctrl.SetLogger(logr.Discard())
	flags := flag.NewFlagSet("latency", flag.ContinueOnError)
	flags.SetOutput(stderr)
	services := flags.Int("services", 10000, "services of the mesh, in ten clusters; with others than the default nothing is judged")
	write := flags.Bool("write", false, "keep the table in "+figure.Document)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	judged := *services == 10000
	if *write && !judged {
		return errors.New("-write keeps a whole run, with the default -services")
	}
	checkout, err := figure.Checkout(ctx)
	if err != nil {
		return err
	}
	report, err := measure(ctx, bench.Repository{Services: *services, Clusters: 10, Seed: 1}, checkout, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, report)
	if *write {
		if err := figure.Keep(filepath.Join(checkout, figure.Document), program, report.String()); err != nil {
			return err
		}
	}
	if judged && report.Missed() {
		return errMissed
	}
	return nil
}

func measure(ctx context.Context, shape bench.Repository, checkout string, log io.Writer) (figure.Report, error) {
	began := time.Now()
	w, err := newWorld(ctx, shape, checkout, log)
	if err != nil {
		return figure.Report{}, err
	}
	report, err := w.measure(ctx)
	report.Took = time.Since(began)
	return report, errors.Join(err, w.stop())
}

// measure lets the first commit arrive, then one after another that each change one service, and does the same by plain tools once.
func (w *world) measure(ctx context.Context) (figure.Report, error) {
	report := figure.Report{With: "fluxcd/pkg/ssa " + figure.ModuleVersion("github.com/fluxcd/pkg/ssa")}
	began := time.Now()
	if err := w.arrives(ctx, w.head); err != nil {
		return report, err
	}
	w.say("the first commit arrived after %s", figure.Seconds(time.Since(began)))
	var took, written []time.Duration
	for n := range pushes {
		commit, err := w.repository.change(ctx, n)
		if err != nil {
			return report, err
		}
		pushed := time.Now()
		if err := w.repository.push(ctx); err != nil {
			return report, err
		}
		if err := w.trigger(ctx, n); err != nil {
			return report, err
		}
		if err := w.arrives(ctx, commit); err != nil {
			return report, err
		}
		took = append(took, time.Since(pushed))
	}
	exported, err := w.export(ctx)
	if err != nil {
		return report, err
	}
	for n := range pushes {
		apply, err := w.applyOne(ctx, n)
		if err != nil {
			return report, err
		}
		written = append(written, apply)
	}
	p50, theirs := figure.Median(took), exported+figure.Median(written)
	report.Rows = []figure.Row{{
		Figure: fmt.Sprintf("from `git push` to applied, one of %s services changed, p50", figure.Thousands(w.shape.Services)),
		Bar:    bar, Measured: p50.Seconds() / theirs.Seconds(),
		Ours:   fmt.Sprintf("%s, median of %d (from %s to %s)", figure.Seconds(p50), len(took), figure.Seconds(slices.Min(took)), figure.Seconds(slices.Max(took))),
		Theirs: fmt.Sprintf("%s: cue export %s, server-side apply of one object %s", figure.Seconds(theirs), figure.Seconds(exported), figure.Seconds(figure.Median(written))),
	}}
	return report, nil
}
