package meshmodule_test

import (
	"os"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// Repositories are evaluated in child processes of this test binary.
func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}
