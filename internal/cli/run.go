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

// Main runs isthmus with the streams of the process until it ends or a signal stops it, and returns the
// exit status. more are commands of other packages; their errors are printed and give status 2.
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

// Run is Main with a context and streams.
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

// usageError is an error in the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func newRoot(more []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "isthmus",
		Short: "Check and render the mesh repository that your clusters share",
		Long: `Isthmus connects many Istio meshes. A shared Git repository of CUE lists the services, their calls and the
clusters in which they run. A controller in every cluster keeps the Istio resources of its cluster equal to
the repository. This command is for users who change the repository.

Exit status: 0 without findings, 1 findings in the mesh repository, 2 could not run.`,
		Example: `  isthmus init mesh                        # create a new mesh repository in the folder mesh
  isthmus vet                              # check the mesh repository in this folder
  isthmus render --cluster east            # print what the controller of cluster east applies
  isthmus plan --context east              # show what the controller would change in this cluster`,
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

// suggestion returns the end of a sentence about an unknown name, "" without names.
func suggestion(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

// noArguments rejects arguments. An argument is probably meant as the folder, so the error names --repo.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.Flags().Lookup("repo") == nil {
		return usagef("takes no arguments, but got %q", args[0])
	}
	return usagef("takes no arguments, but got %q; another folder is given as --repo %s", args[0], args[0])
}
