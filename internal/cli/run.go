package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/version"
)

// The exit statuses, which scripts depend on.
const (
	exitFine     = 0
	exitFindings = 1
	exitNotRun   = 2
)

// errFindings ends a command whose findings have been printed.
var errFindings = errors.New("the mesh repository has findings")

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// Main runs isthmus with the process's streams until it is done or a signal stops it, and returns the exit status.
// more are commands that live in packages of their own; an error of theirs is printed and ends with status 2.
func Main(args []string, more ...*cobra.Command) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		// A second signal ends the process at once.
		signal.Stop(signals)
		cancel(errInterrupted)
	}()
	return Run(ctx, args, os.Stdout, os.Stderr, more...)
}

// Run is Main with the streams and the context handed in.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer, more ...*cobra.Command) int {
	root := newRoot(more) //nolint:contextcheck // cobra hands the context to the commands, as cmd.Context()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.Is(context.Cause(ctx), errInterrupted):
		err = errInterrupted
	}
	fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), printable(err.Error()))
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(stderr, "Run `%s --help` for usage and examples.\n", cmd.CommandPath())
	}
	return exitNotRun
}

// usageError is a command line that cannot work as it was typed.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func newRoot(more []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "isthmus",
		Short: "Check and render the mesh repository that your clusters share",
		Long: `Isthmus makes many Istio meshes one map: a shared Git repository of CUE says which services there are,
whom they call and in which clusters they run, and a controller in every cluster keeps that cluster's
Istio resources equal to it. This command is for the people who change that repository.

Exit status: 0 fine, 1 findings in the mesh repository, 2 could not run.`,
		Example: `  isthmus init mesh                        # make a new mesh repository in the folder mesh
  isthmus vet                              # check the one in this folder
  isthmus render --cluster east            # print what the controller of cluster east applies
  isthmus plan --context east              # show what it would change in the cluster of this kubectl context`,
		Version:               version.Get().Version,
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usagef("there is no command %q%s", args[0], suggestion(cmd.SuggestionsFor(args[0])))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v", err) })
	root.AddCommand(newInit(), newVendor(), newVet(), newRender(), newPlan(), newVersion())
	root.AddCommand(more...)
	root.InitDefaultHelpCmd()
	completeCompletion(root)
	return root
}

// suggestion is the end of a sentence that something unknown was asked for, "" without an idea.
func suggestion(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

// noArguments refuses arguments; the only thing that one could mean is the folder.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.Flags().Lookup("repo") == nil {
		return usagef("takes no arguments, but got %q", args[0])
	}
	return usagef("takes no arguments, but got %q; another folder is given as --repo %s", args[0], args[0])
}
