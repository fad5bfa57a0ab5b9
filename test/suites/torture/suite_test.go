//go:build linux

package torture_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const (
	root = "../../../"
	// deadline is how long all clusters may take to be as the repository says after a fault is over. It holds the longest pause of the
	// controller, a minute, which it makes with an object that somebody changes again and again.
	deadline  = 100 * time.Second
	namespace = "isthmus-system"
)

var (
	fleet *apiserver.Fleet
	// binary is isthmus-controller, built once; cue is the real command.
	binary, cue string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// The Git server logs every request to the standard logger.
	log.SetOutput(io.Discard)
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	scratch, err := os.MkdirTemp("", "isthmus-torture-")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	binary = filepath.Join(scratch, "isthmus-controller")
	clocks, err := overlay(scratch)
	if err != nil {
		return failed(fmt.Errorf("giving the controller a clock: %w", err))
	}
	if err := gitops.Build(context.Background(), root, binary, "-overlay", clocks); err != nil {
		return failed(err)
	}
	if cue, err = cuecmd.Build(); err != nil {
		return failed(err)
	}
	if fleet, err = gitops.Start(context.Background(), apiserver.Options{Clusters: clusters, Restarts: true}); err != nil {
		return failed(err)
	}
	defer func() {
		if err := fleet.Stop(); err != nil {
			failed(err)
		}
	}()
	return m.Run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
