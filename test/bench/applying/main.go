// Command applying measures the cost of keeping a cluster equal to a bundle, compared with
// server-side apply of the same objects. docs/benchmarks.md explains the limits.
//
// Both sides write the same Istio objects to the same API server in one run, one after the other.
// The objects are rendered from a generated mesh repository. Isthmus applies them through
// internal/plans and internal/execute, as the controller does. The peer is ApplyAll of
// github.com/fluxcd/pkg/ssa, which Flux's kustomize-controller uses. Requests are counted where
// they leave this process. The memory of a controller is measured in child processes.
//
// Run it from within the checkout: go run ./test/bench/applying
package main

import (
	"context"
	"flag"

	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/go-logr/logr"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

func main() {
	discardLogs()
	program().Main()
}

func program() figure.Program {
	profiles := ""
	return figure.Program{
		Name: "applying", Figures: figure.Names(measurements), Profiling: []string{"profiles"},
		Flags: func(flags *flag.FlagSet) {
			flags.StringVar(&profiles, "profiles", "", "folder for profiles of a changed object and of the memory of a controller; none by default")
		},
		Children: map[string]figure.Child{memoryCommand: figure.Serve(measureMemory)},
		Measure: func(ctx context.Context, run figure.Run) (figure.Report, error) {
			p := fullPlan()
			if run.Quick {
				p = p.smaller(10)
			}
			p.only, p.profiles = run.Only, profiles
			return measure(ctx, p, run.Log)
		},
	}
}

// discardLogs discards the logs of libraries, client-go among them. Errors contain what went wrong.
func discardLogs() {
	logger.SetLogger(logr.Discard())
}
