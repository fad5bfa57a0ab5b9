package examples_test

import (
	"os"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// Repositories are evaluated in a child process, which is this program.
func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}
