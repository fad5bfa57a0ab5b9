package e2e_test

import (
	"context"
	"os"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const (
	root = "../../../"
	// namespace contains the controller and its MeshSyncs.
	namespace = gitops.Namespace
	// The two clusters of examples/quickstart.
	east, west = "east", "west"
	// The ownership marks of an object.
	partOf, manager = gitops.PartOfLabel, gitops.FieldManager
)

var (
	suite    *gitops.Suite
	must     = gitops.Must
	describe = gitops.Describe
)

func TestMain(m *testing.M) {
	os.Exit(gitops.RunSuite(m, gitops.SuiteOptions{Checkout: root, Servers: apiserver.Options{Clusters: []string{east, west}}, Ready: install}))
}

func install(ctx context.Context, s *gitops.Suite) error {
	suite = s
	for _, cluster := range s.Fleet.Clusters() {
		admin, err := gitops.Connect(cluster.Config)
		if err != nil {
			return err
		}
		if err := gitops.Install(ctx, admin, root); err != nil {
			return err
		}
	}
	return nil
}
