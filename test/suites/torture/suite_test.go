//go:build linux

package torture_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const (
	root = "../../../"
	// deadline limits the time from the end of a fault until all clusters equal the repository. It is
	// longer than the longest back-off of the controller, one minute for an object that another writer
	// keeps changing.
	deadline  = 100 * time.Second
	namespace = gitops.Namespace
	// The ownership marks of an object.
	partOf, manager = gitops.PartOfLabel, gitops.FieldManager
)

var (
	suite *gitops.Suite
	must  = gitops.Must
	keyOf = gitops.Key
)

func TestMain(m *testing.M) {
	os.Exit(gitops.RunSuite(m, gitops.SuiteOptions{
		Checkout: root, Servers: apiserver.Options{Clusters: clusters}, BuildFlags: patchedTime,
		Ready: func(_ context.Context, s *gitops.Suite) error {
			suite = s
			return nil
		},
	}))
}
