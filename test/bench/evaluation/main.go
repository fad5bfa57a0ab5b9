// Command evaluation measures the cost of evaluating a mesh repository, compared with cue export of
// the same files. docs/benchmarks.md explains the limits.
//
// Both sides are measured in one run, one after the other: the wall clock time of real processes
// and the peak of the resident memory of each with all its descendants. Where both sides have the
// same output, it is compared.
//
// Run it from within the checkout: go run ./test/bench/evaluation
package main

import (
	"context"
	"flag"
	"os"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

func main() { program().Main() }

func program() figure.Program {
	dir := ""
	return figure.Program{
		Name: "evaluation", Figures: figure.Names(measurements),
		Flags: func(flags *flag.FlagSet) {
			flags.StringVar(&dir, "dir", "", "folder for repositories and outputs, which is kept; by default a temporary one")
		},
		Children: map[string]figure.Child{controllerCommand: figure.Serve(runController)},
		Measure: func(ctx context.Context, run figure.Run) (figure.Report, error) {
			p := fullPlan()
			if run.Quick {
				p = p.smaller(10)
			}
			p.only = run.Only
			b, err := newBenchmark(ctx, p, run.Checkout, dir, run.Log)
			if err != nil {
				return figure.Report{}, err
			}
			if dir == "" {
				defer func() { _ = os.RemoveAll(b.dir) }()
			}
			return b.run(ctx)
		},
	}
}
