// Command applying measures what keeping a cluster equal to a bundle costs, beside what server-side apply of the same objects costs, and
// holds the ratios against the bars that docs/benchmarks.md tells of.
//
// Both sides write to the same API server, in one run and close together, the same Istio objects, which are rendered from a generated mesh
// repository: ours through internal/apply, as a controller does, theirs through ApplyAll of github.com/fluxcd/pkg/ssa, as Flux's
// kustomize-controller does. Requests are counted on the way out of this process. What a controller has resident is
// measured in processes of its own.
//
// Run it from within the checkout: go run ./test/bench/applying
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
	"syscall"

	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/go-logr/logr"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// program is the name under which the table is kept.
const program = "test/bench/applying"

func main() {
	sandbox.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "applying:", err)
		os.Exit(1) //nolint:forbidigo // a program of its own
	}
}

// errMissed is what a judged run ends with where a bar is missed.
var errMissed = errors.New("a bar is missed by more than a quarter")

func command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	quiet()
	if len(args) == 1 && args[0] == holderCommand {
		return serveHolder(ctx, stdin, stdout)
	}
	flags := flag.NewFlagSet("applying", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "a tenth of the services, and nothing is judged: for development")
	write := flags.Bool("write", false, "keep the table in "+figure.Document)
	only := flags.String("only", "", "only these figures, and nothing is judged: "+strings.Join(figureNames(), ","))
	profiles := flags.String("profiles", "", "folder for profiles of what changing one object takes and of what a controller holds; none by default")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *write && (*quick || *only != "" || *profiles != "") {
		return errors.New("-write keeps a whole run, without -quick, -only and -profiles")
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
	p.profiles = *profiles
	checkout, err := figure.Checkout(ctx)
	if err != nil {
		return err
	}
	report, err := measure(ctx, p, stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, report)
	if *quick || *only != "" {
		return nil
	}
	if *write {
		if err := figure.Keep(filepath.Join(checkout, figure.Document), program, report.String()); err != nil {
			return err
		}
	}
	if report.Missed() {
		return errMissed
	}
	return nil
}

// quiet drops what libraries log, client-go among them: what goes wrong is in the errors.
func quiet() {
	logger.SetLogger(logr.Discard())
}
