package examples_test

import (
	"os"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// The test binary is also the child process that evaluates repositories.
func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}
