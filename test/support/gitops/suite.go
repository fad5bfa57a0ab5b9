package gitops

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

// Suite is shared by all tests of a package that runs the controller as a process.
type Suite struct {
	Fleet *apiserver.Fleet
	// Controller and Cue are the paths of the commands, built once.
	Controller, Cue string
}

// SuiteOptions configure [RunSuite].
type SuiteOptions struct {
	// Checkout is the root of the source of this module.
	Checkout string
	Servers  apiserver.Options
	// BuildFlags, unless nil, returns flags of go build for the controller. It may write to scratch.
	BuildFlags func(scratch string) ([]string, error)
	// Ready is called before the tests.
	Ready func(context.Context, *Suite) error
}

// RunSuite builds the commands, starts the API servers and runs the tests. It returns the exit
// status for TestMain.
func RunSuite(m *testing.M, options SuiteOptions) (status int) {
	// The Git server logs every request to the standard logger.
	log.SetOutput(io.Discard)
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	failed := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scratch, err := os.MkdirTemp("", "isthmus-suite-")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	s := &Suite{Controller: filepath.Join(scratch, "isthmus-controller")}
	ctx := context.Background()
	var flags []string
	if options.BuildFlags != nil {
		if flags, err = options.BuildFlags(scratch); err != nil {
			return failed(err)
		}
	}
	if err := Build(ctx, options.Checkout, s.Controller, flags...); err != nil {
		return failed(err)
	}
	if s.Cue, err = cuecmd.Build(); err != nil {
		return failed(err)
	}
	if s.Fleet, err = Start(ctx, options.Servers); err != nil {
		return failed(err)
	}
	defer func() {
		if err := s.Fleet.Stop(); err != nil {
			_ = failed(err)
		}
	}()
	if err := options.Ready(ctx, s); err != nil {
		return failed(err)
	}
	return m.Run()
}
