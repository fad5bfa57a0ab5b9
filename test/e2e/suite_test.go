package e2e_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/apiserver"
	"github.com/isthmus-mesh/isthmus/test/cuecmd"
)

const (
	root = "../../"
	// deadline is how long a poll may take on a busy machine, not how long anything takes.
	deadline = 60 * time.Second
	// namespace is the controller's own, as config/manager has it.
	namespace = "isthmus-system"
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
	// Without -race even if the tests run with it: the race detector would change what is tested.
	build := exec.Command("go", "build", "-o", binary, "./cmd/isthmus-controller")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return failed(fmt.Errorf("building the controller: %w\n%s", err, out))
	}
	if cue, err = cuecmd.Build(); err != nil {
		return failed(err)
	}
	own, err := apiserver.OwnCRD()
	if err != nil {
		return failed(err)
	}
	fleet, err = apiserver.Start(context.Background(), apiserver.Options{Clusters: []string{east, west}, CRDs: append(istio.CRDs(), own)})
	if err != nil {
		return failed(err)
	}
	defer func() {
		if err := fleet.Stop(); err != nil {
			failed(err)
		}
	}()
	for _, cluster := range fleet.Clusters() {
		if err := install(context.Background(), cluster); err != nil {
			return failed(err)
		}
	}
	return m.Run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// install makes what an installation with kustomize makes before the Deployment, and Istio's own namespace.
func install(ctx context.Context, cluster *apiserver.Cluster) error {
	admin, err := connect(cluster)
	if err != nil {
		return err
	}
	istioSystem := &corev1.Namespace{}
	istioSystem.Name = "istio-system"
	if err := admin.Create(ctx, istioSystem); err != nil {
		return err
	}
	return applyFiles(ctx, admin, "config/manager/namespace.yaml", "config/rbac/service_account.yaml", "config/rbac/role.yaml",
		"config/rbac/role_binding.yaml")
}
