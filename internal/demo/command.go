package demo

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
)

// defaultPatience is how long one thing may take to come true; on an idle machine it takes a second.
const defaultPatience = 2 * time.Minute

// Command is `isthmus demo`.
func Command() *cobra.Command {
	o := Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show on this machine how three clusters follow one Git repository",
		Long: `Start three real API servers as three clusters, a real Git server with the example shop, and a controller for
each cluster; then change the repository, and the clusters by hand, and check what comes of it by reading the API
servers. It needs no cluster, no network and no rights, only git. It takes some seconds, changes nothing on this
machine, and leaves nothing behind.

The API servers come from KUBEBUILDER_ASSETS; ` + "`make demo`" + ` in a checkout builds them once, which takes some minutes.

Exit status: 0 if all of it held, 2 if not; the last line then says what.`,
		Example: `  isthmus demo
  isthmus demo --keep        # leave it running at the end, to look around`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Silent, since all three would write into the story; the Git server knows only the global logger.
			log.SetOutput(io.Discard)
			ctrl.SetLogger(logr.Discard())
			rest.SetDefaultWarningHandler(rest.NoWarnings{})

			// A second Ctrl-C would end the process with its children still running, so signals only ever cancel; the caller's
			// context is cancelled by the first. A terminal that is closed and a pipe that is cut must not leave them either.
			// SIGPIPE tells of any pipe, also of those to a Git server's process: only the output's own error counts.
			held := make(chan os.Signal, 1)
			signal.Notify(held, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
			defer signal.Stop(held)
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			ctx, unheard := context.WithCancelCause(ctx)
			defer unheard(nil)

			o.Out = cmd.OutOrStdout()
			if f, ok := o.Out.(*os.File); ok {
				o.Out = audience{f, unheard}
			}
			if o.Controller == "" {
				controller, err := besides("isthmus-controller")
				if err != nil {
					return err
				}
				o.Controller = controller
			}
			return Run(ctx, o)
		},
	}
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave everything running at the end, until Ctrl-C, and print how to look around")
	cmd.Flags().StringVar(&o.Controller, "controller", "", "path of isthmus-controller (default: beside this command, then in PATH)")
	cmd.Flags().DurationVar(&o.Patience, "timeout", defaultPatience, "give up when one thing takes longer than this to come true")
	return cmd
}

// besides finds a program in the folder of this one, or else in PATH.
func besides(name string) (string, error) {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if own, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(own), name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside this command nor in PATH; build both with `make build`, or name it with --controller", name)
	}
	return path, nil
}

// audience is an output that ends the demo when nobody listens any more.
type audience struct {
	*os.File
	unheard context.CancelCauseFunc
}

func (a audience) Write(p []byte) (int, error) {
	n, err := a.File.Write(p)
	if err != nil {
		a.unheard(fmt.Errorf("nobody reads what is said: %w", err))
	}
	return n, err
}
