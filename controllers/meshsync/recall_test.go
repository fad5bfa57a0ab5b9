package meshsync

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/apply"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

func TestOnlyWhatTheClusterHasIsRecalled(t *testing.T) {
	bundle := &render.Bundle{Digest: "a", Revision: "main@sha1:1"}
	entry := func(digest, status, revision string) meta.Snapshot {
		return meta.Snapshot{Digest: digest, LastReconciledStatus: status, Metadata: map[string]string{"revision": revision}}
	}
	good := entry("sha256:a", meta.ReconciliationSucceededReason, "main@sha1:1")
	cases := map[string]struct {
		reason  string
		history meta.History
		want    bool
	}{
		"Applied":        {"it is the last result", meta.History{good}, true},
		"Invalid":        {"a commit with errors wrote nothing since", meta.History{entry("sha1:2", v1alpha1.ReasonInvalidContent, "main@sha1:2"), good}, true},
		"Held":           {"a held commit wrote nothing since", meta.History{entry("sha256:b", apply.LastEndpoint, "main@sha1:2"), good}, true},
		"PartlyRefused":  {"the next commit was applied all but one object, and must not be rolled back", meta.History{entry("sha256:b", v1alpha1.ReasonRefused, "main@sha1:2"), good}, false},
		"PartlyApplied":  {"the next commit was applied in part, and must not be rolled back", meta.History{entry("sha256:b", v1alpha1.ReasonApplyFailed, "main@sha1:2"), good}, false},
		"WrongCluster":   {"Git said since that this is another cluster", meta.History{entry("sha256:b", v1alpha1.ReasonWrongCluster, "main@sha1:2"), good}, false},
		"AnotherBundle":  {"the same commit means something else under the spec of today", meta.History{entry("sha256:b", meta.ReconciliationSucceededReason, "main@sha1:1")}, false},
		"AnotherCommit":  {"it is not the commit that the status names", meta.History{entry("sha256:a", meta.ReconciliationSucceededReason, "main@sha1:2")}, false},
		"NothingIsKnown": {"the history holds five results only", nil, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ms := &v1alpha1.MeshSync{Status: v1alpha1.MeshSyncStatus{History: tc.history}}
			if got := wasApplied(ms, bundle); got != tc.want {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
}
