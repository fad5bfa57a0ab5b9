package demo

import (
	"context"
	"fmt"
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
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// defaultTimeout of one check. On an idle machine a check takes seconds.
const defaultTimeout = 2 * time.Minute

// Command is `isthmus demo`.
func Command() *cobra.Command {
	o := Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run three clusters and one Git repository on this machine, and watch commits arrive",
		Long: `Start three real API servers as three clusters, a real Git server with the example shop, and one controller for
each cluster. Then change the repository, edit the clusters by hand, and check the result by reading the API servers.

The demo needs git and the programs kube-apiserver and etcd. It needs no cluster, no kubectl, no network and no special
rights. It takes less than a minute, changes nothing else on this machine, and removes everything that it started.

kube-apiserver and etcd come from the folder KUBEBUILDER_ASSETS. In a checkout, ` + "`make demo`" + ` builds them once, which
takes some minutes. If setup-envtest is installed, this is quicker:

  KUBEBUILDER_ASSETS=$(setup-envtest use -p path) isthmus demo

Exit status: 0 if every check passed, 2 if not; the last lines then name the check.`,
		Example: `  isthmus demo
  isthmus demo --keep        # leave everything running at the end, to look around`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// They would write into the output of the demo.
			ctrllog.SetLogger(logr.Discard())
			rest.SetDefaultWarningHandler(rest.NoWarnings{})

			// The first Ctrl-C cancels cmd.Context(). A second one must not end this process while
			// its children run, nor may a closed terminal or a broken pipe. SIGPIPE may come from
			// any pipe, such as one to git, so it is ignored here: output reports the pipe that
			// matters.
			ignored := make(chan os.Signal, 1)
			signal.Notify(ignored, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
			defer signal.Stop(ignored)
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			ctx, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)

			o.Out = cmd.OutOrStdout()
			if f, ok := o.Out.(*os.File); ok {
				o.Out = output{f, cancel}
			}
			if o.Controller == "" {
				controller, err := find("isthmus-controller")
				if err != nil {
					return err
				}
				o.Controller = controller
			}
			return Run(ctx, o)
		},
	}
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave everything running at the end, until Ctrl-C, and print how to look around")
	cmd.Flags().StringVar(&o.Controller, "controller", "", "path of isthmus-controller (default: in the folder of this command, then in PATH)")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", defaultTimeout, "fail if one check takes longer than this")
	return cmd
}

// find looks for a program in the folder of this one, then in PATH.
func find(name string) (string, error) {
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
		return "", fmt.Errorf("%s is neither in the folder of this command nor in PATH: build both with `make build`, or set --controller", name)
	}
	return path, nil
}

// output cancels the demo if it cannot be written to, for example because the reader of a pipe has
// ended.
type output struct {
	*os.File
	cancel context.CancelCauseFunc
}

func (o output) Write(p []byte) (int, error) {
	n, err := o.File.Write(p)
	if err != nil {
		o.cancel(fmt.Errorf("writing the output: %w", err))
	}
	return n, err
}
