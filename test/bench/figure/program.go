package figure

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

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// Program is a benchmark command. It measures, prints a table and, with -write, keeps the table in
// [Document].
type Program struct {
	// Name is the folder of the command below test/bench.
	Name string
	// Figures are the values of -only. Without figures there is neither -only nor -quick.
	Figures []string
	// Flags, unless nil, defines more flags.
	Flags func(*flag.FlagSet)
	// Partial are flags that change what is measured: with one of them nothing is judged or kept. With
	// one of Profiling, nothing is kept. -quick and -only are partial.
	Partial, Profiling []string
	// Children are the child processes that [Ask] starts, by name.
	Children map[string]Child
	Measure  func(context.Context, Run) (Report, error)
}

// Run are the options of one run.
type Run struct {
	// Checkout is the root of the source of this module.
	Checkout string
	// Quick asks for a tenth of the services.
	Quick bool
	// Only are the figures to measure, nil for all.
	Only []string
	// Log receives progress.
	Log io.Writer
}

// errMissed is the result of a run that misses a limit.
var errMissed = errors.New("a limit is exceeded by more than 25 %")

// Main runs the program and exits with status 1 after an error.
func (p Program) Main() {
	sandbox.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := p.command(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1) //nolint:forbidigo // only main packages call it
	}
}

func (p Program) command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 1 && p.Children[args[0]] != nil {
		return p.Children[args[0]](ctx, stdin, stdout, stderr)
	}
	run, write, judged, err := p.parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if run.Checkout, err = checkout(ctx); err != nil {
		return err
	}
	report, err := p.Measure(ctx, run)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, report)
	if write {
		if err := Keep(filepath.Join(run.Checkout, Document), "test/bench/"+p.Name, report.String()); err != nil {
			return err
		}
	}
	if judged && report.Missed() {
		return errMissed
	}
	return nil
}

func (p Program) parse(args []string, stderr io.Writer) (run Run, write, judged bool, err error) {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := ""
	flags.BoolVar(&write, "write", false, "keep the table in "+Document)
	if p.Figures != nil {
		flags.BoolVar(&run.Quick, "quick", false, "measure a tenth of the services, judge nothing: for development")
		flags.StringVar(&only, "only", "", "measure only these figures, judge nothing: "+strings.Join(p.Figures, ","))
	}
	if p.Flags != nil {
		p.Flags(flags)
	}
	if err := flags.Parse(args); err != nil {
		return run, false, false, err
	}
	partial := append([]string{"quick", "only"}, p.Partial...)
	var prevented []string
	judged = true
	flags.Visit(func(f *flag.Flag) {
		isPartial := slices.Contains(partial, f.Name)
		if f.Value.String() == f.DefValue || !isPartial && !slices.Contains(p.Profiling, f.Name) {
			return
		}
		prevented = append(prevented, "-"+f.Name)
		judged = judged && !isPartial
	})
	if write && len(prevented) > 0 {
		return run, false, false, fmt.Errorf("-write keeps the table of a whole run: leave out %s", strings.Join(prevented, " and "))
	}
	run.Log = stderr
	if only != "" {
		run.Only = strings.Split(only, ",")
	}
	for _, name := range run.Only {
		if !slices.Contains(p.Figures, name) {
			return run, false, false, fmt.Errorf("unknown figure %q: choose from %s", name, strings.Join(p.Figures, ", "))
		}
	}
	return run, write, judged, nil
}
