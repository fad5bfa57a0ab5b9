package meshsync_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/controllers/meshsync"
	gitsource "github.com/isthmus-mesh/isthmus/internal/source"
)

func TestSizeOfACommitIsLimited(t *testing.T) {
	w := newWorld(t, withIstio)
	w.stop()
	w.start(meshsync.WithSourceLimits(gitsource.Limits{MaxFiles: 3}))
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonContentRefused)
	if text := conditions.GetMessage(ms, meta.ReadyCondition); !strings.Contains(text, "more than 3 f") || !strings.Contains(text, "--max-files") {
		t.Errorf("the message does not name the limit and the flag: %s", text)
	}
}
