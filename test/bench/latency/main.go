// Command latency measures the time of a commit from git push to the cluster. It is compared with
// plain tools: cue export of the cluster's resources and server-side apply of the object that
// changed.
//
// The Git server, the API server and the isthmus-controller process are real. The annotation
// reconcile.fluxcd.io/requestedAt starts a reconciliation as soon as the push has returned, as a
// webhook receiver does. A commit has arrived when the status of the MeshSync says that it is
// applied.
//
// Run it from within the checkout: go run ./test/bench/latency
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

const (
	// cluster is the measured cluster of the mesh.
	cluster = "c0"
	// limit is a share of the time of the plain tools.
	limit = 1. / 20
	// pushes is the number of measured commits.
	pushes = 15
)

func main() {
	ctrl.SetLogger(logr.Discard())
	program().Main()
}

func program() figure.Program {
	services := 0
	return figure.Program{
		Name: "latency", Partial: []string{"services"},
		Flags: func(flags *flag.FlagSet) {
			flags.IntVar(&services, "services", 10000, "services of the mesh, in ten clusters; another number than the default is not judged")
		},
		Measure: func(ctx context.Context, run figure.Run) (figure.Report, error) {
			return measure(ctx, bench.Repository{Services: services, Clusters: 10, Seed: 1}, run.Checkout, run.Log)
		},
	}
}

func measure(ctx context.Context, shape bench.Repository, checkout string, log io.Writer) (figure.Report, error) {
	env, err := newEnvironment(ctx, shape, checkout, log)
	if err != nil {
		return figure.Report{}, err
	}
	report, err := env.measure(ctx)
	report.Took = time.Since(env.Began)
	return report, errors.Join(err, env.stop())
}

// measure waits for the first commit, then pushes commits that change one service each. Then it
// measures the plain tools.
func (env *environment) measure(ctx context.Context) (figure.Report, error) {
	report := figure.Report{With: "fluxcd/pkg/ssa " + figure.ModuleVersion("github.com/fluxcd/pkg/ssa")}
	began := time.Now()
	if err := env.awaitApplied(ctx, env.head); err != nil {
		return report, err
	}
	env.Logf("the first commit was applied after %s", figure.Seconds(time.Since(began)))
	var took, written []time.Duration
	for n := range pushes {
		commit, err := env.repository.change(ctx, n)
		if err != nil {
			return report, err
		}
		pushed := time.Now()
		if err := env.repository.push(ctx); err != nil {
			return report, err
		}
		if err := env.requestReconciliation(ctx, n); err != nil {
			return report, err
		}
		if err := env.awaitApplied(ctx, commit); err != nil {
			return report, err
		}
		took = append(took, time.Since(pushed))
	}
	exported, err := env.export(ctx)
	if err != nil {
		return report, err
	}
	for n := range pushes {
		apply, err := env.applyOne(ctx, n)
		if err != nil {
			return report, err
		}
		written = append(written, apply)
	}
	p50, theirs := figure.Median(took), exported+figure.Median(written)
	report.Rows = []figure.Row{{
		Figure: fmt.Sprintf("from `git push` to applied, one of %s services changed, p50", figure.Thousands(env.shape.Services)),
		Limit:  limit, Measured: p50.Seconds() / theirs.Seconds(),
		Ours:   fmt.Sprintf("%s, median of %d (from %s to %s)", figure.Seconds(p50), len(took), figure.Seconds(slices.Min(took)), figure.Seconds(slices.Max(took))),
		Theirs: fmt.Sprintf("%s: cue export %s, server-side apply of one object %s", figure.Seconds(theirs), figure.Seconds(exported), figure.Seconds(figure.Median(written))),
	}}
	return report, nil
}
