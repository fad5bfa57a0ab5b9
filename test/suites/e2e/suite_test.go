package e2e_test

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
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const (
	root = "../../../"
	// namespace is the controller's own.
	namespace = gitops.Namespace
	// The two clusters of examples/quickstart.
	east, west = "east", "west"
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
	scratch, err := os.MkdirTemp("", "isthmus-e2e-")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	binary = filepath.Join(scratch, "isthmus-controller")
	if err := gitops.Build(context.Background(), root, binary); err != nil {
		return failed(err)
	}
	if cue, err = cuecmd.Build(); err != nil {
		return failed(err)
	}
	if fleet, err = gitops.Start(context.Background(), apiserver.Options{Clusters: []string{east, west}}); err != nil {
		return failed(err)
	}
	defer func() {
		if err := fleet.Stop(); err != nil {
			failed(err)
		}
	}()
	for _, cluster := range fleet.Clusters() {
		admin, err := gitops.Connect(cluster.Config)
		if err != nil {
			return failed(err)
		}
		if err := gitops.Install(context.Background(), admin, root); err != nil {
			return failed(err)
		}
	}
	return m.Run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
