// Command evaluation measures what evaluating a mesh repository costs, beside what `cue export` of the same files costs, and holds the
// ratios against the bars that docs/benchmarks.md tells of.
//
// Both sides are measured in one run, alike and close together: real processes, their wall clock time, and the peak of what they and
// all their descendants have resident. Where both make the same thing, it is compared. A bar counts as missed when a ratio is above it by
// more than a quarter, since other work on the machine slows both sides, but never evenly.
//
// Run it from within the checkout: go run ./test/bench/evaluation
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
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

func main() {
	sandbox.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "evaluation:", err)
		os.Exit(1) //nolint:forbidigo // a program of its own
	}
}

// errMissed is what a judged run ends with where a bar is missed.
var errMissed = errors.New("a bar is missed by more than a quarter")

func command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == controllerCommand {
		return serveController(ctx, stdin, stdout, stderr)
	}
	flags := flag.NewFlagSet("evaluation", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "a tenth of the services, and nothing is judged: for development")
	write := flags.Bool("write", false, "keep the table in "+figure.Document)
	only := flags.String("only", "", "only these figures, and nothing is judged: "+strings.Join(figureNames(), ","))
	scratch := flags.String("dir", "", "folder for repositories and outputs, kept; one that is removed in the end by default")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *write && (*quick || *only != "") {
		return errors.New("-write keeps a whole run, without -quick and -only")
	}
	p := fullPlan()
	if *quick {
		p = p.smaller(10)
	}
	if *only != "" {
		p.only = strings.Split(*only, ",")
		for _, name := range p.only {
			if !slices.Contains(figureNames(), name) {
				return fmt.Errorf("there is no figure %q: there are %s", name, strings.Join(figureNames(), ", "))
			}
		}
	}
	b, err := newBench(ctx, p, *scratch, stderr)
	if err != nil {
		return err
	}
	if *scratch == "" {
		defer func() { _ = os.RemoveAll(b.dir) }()
	}
	rows, err := b.run(ctx)
	if err != nil {
		return err
	}
	report := b.report(rows)
	fmt.Fprintln(stdout, report)
	if *quick || *only != "" {
		return nil
	}
	if *write {
		if err := figure.Keep(filepath.Join(b.checkout, figure.Document), program, report.String()); err != nil {
			return err
		}
	}
	if report.Missed() {
		return errMissed
	}
	return nil
}
