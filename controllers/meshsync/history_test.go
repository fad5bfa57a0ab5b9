package meshsync

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

func TestOnlyTheAppliedBundleIsRestored(t *testing.T) {
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
		"Held":           {"a held commit wrote nothing since", meta.History{entry("sha256:b", plans.LastEndpoint, "main@sha1:2"), good}, true},
		"PartlyRefused":  {"the next commit was applied all but one object, and must not be rolled back", meta.History{entry("sha256:b", v1alpha1.ReasonRefused, "main@sha1:2"), good}, false},
		"PartlyApplied":  {"the next commit was applied in part, and must not be rolled back", meta.History{entry("sha256:b", v1alpha1.ReasonApplyFailed, "main@sha1:2"), good}, false},
		"Begun":          {"a process died that had begun the next commit, which must not be rolled back", meta.History{entry("sha256:b", meta.ProgressingReason, "main@sha1:2"), good}, false},
		"BegunThenHeld":  {"the same, and it was held since", meta.History{entry("sha256:b", plans.MassDeletion, "main@sha1:2"), entry("sha256:b", meta.ProgressingReason, "main@sha1:2"), good}, false},
		"WrongCluster":   {"a later commit says that this is another cluster", meta.History{entry("sha256:b", v1alpha1.ReasonWrongCluster, "main@sha1:2"), good}, false},
		"AnotherBundle":  {"the same commit means something else under the spec of today", meta.History{entry("sha256:b", meta.ReconciliationSucceededReason, "main@sha1:1")}, false},
		"AnotherCommit":  {"it is not the commit that the status names", meta.History{entry("sha256:a", meta.ReconciliationSucceededReason, "main@sha1:2")}, false},
		"NothingIsKnown": {"the history holds five results only", nil, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ms := &v1alpha1.MeshSync{Status: v1alpha1.MeshSyncStatus{History: tc.history}}
			if got := syncrun.WasApplied(ms, bundle); got != tc.want {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
}

func TestRoutingDelayAppliesToNewRevisionsOnly(t *testing.T) {
	bundle := &render.Bundle{Digest: "b", Revision: "main@sha1:2"}
	entry := func(digest, status, revision string) meta.Snapshot {
		return meta.Snapshot{Digest: "sha256:" + digest, LastReconciledStatus: status, Metadata: map[string]string{"revision": "main@sha1:" + revision}}
	}
	cases := map[string]struct {
		reason string
		status v1alpha1.MeshSyncStatus
		waits  bool
	}{
		"FirstSync":      {"callers have nothing to lose yet", v1alpha1.MeshSyncStatus{}, false},
		"FirstIsCutOff":  {"it is still the first sync", v1alpha1.MeshSyncStatus{LastKnownGoodRevision: "main@sha1:2", History: meta.History{entry("b", v1alpha1.ReasonTimeout, "2")}}, false},
		"FirstWasBegun":  {"the process died during the first sync", v1alpha1.MeshSyncStatus{LastKnownGoodRevision: "main@sha1:2", History: meta.History{entry("b", meta.ProgressingReason, "2")}}, false},
		"FirstWasHeld":   {"a held plan writes nothing", v1alpha1.MeshSyncStatus{History: meta.History{entry("a", plans.LastEndpoint, "1")}}, false},
		"OnlyObserved":   {"nothing was written", v1alpha1.MeshSyncStatus{LastKnownGoodRevision: "main@sha1:1", History: meta.History{entry("a", v1alpha1.ReasonObserved, "1")}}, false},
		"AnotherRefused": {"all but one object of it is here", v1alpha1.MeshSyncStatus{LastKnownGoodRevision: "main@sha1:1", History: meta.History{entry("a", v1alpha1.ReasonRefused, "1")}}, true},
		"AnotherApplied": {"other clusters may not have seen the new one", v1alpha1.MeshSyncStatus{
			LastAppliedRevision: "main@sha1:1", History: meta.History{entry("a", meta.ReconciliationSucceededReason, "1")},
		}, true},
		"Begun": {"what waits in it is not known any more", v1alpha1.MeshSyncStatus{
			LastAppliedRevision: "main@sha1:1", History: meta.History{entry("b", meta.ProgressingReason, "2"), entry("a", meta.ReconciliationSucceededReason, "1")},
		}, true},
		"Applied": {"all of it was written before", v1alpha1.MeshSyncStatus{
			LastAppliedRevision: "main@sha1:2", History: meta.History{entry("b", meta.ReconciliationSucceededReason, "2")},
		}, false},
		"Refused": {"what was refused may newly depend on others", v1alpha1.MeshSyncStatus{
			LastAppliedRevision: "main@sha1:1", History: meta.History{entry("b", v1alpha1.ReasonRefused, "2")},
		}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ms := &v1alpha1.MeshSync{Status: tc.status}
			if got := syncrun.RoutingDelay(ms, bundle) > 0; got != tc.waits {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
}

func TestDifferenceAfterARestartIsDriftOnlyIfTheClusterWasInSync(t *testing.T) {
	bundle := &render.Bundle{Digest: "b", Revision: "main@sha1:2"}
	cases := map[string]struct {
		reason string
		change func(*v1alpha1.MeshSyncStatus)
		want   bool
	}{
		"InPlace":  {"nothing else can have changed it", func(*v1alpha1.MeshSyncStatus) {}, true},
		"Frozen":   {"what is frozen is in the bundle as it was", func(s *v1alpha1.MeshSyncStatus) { s.History[0].LastReconciledStatus = v1alpha1.ReasonServicesFrozen }, true},
		"Skipped":  {"a skipped object never matched the bundle", func(s *v1alpha1.MeshSyncStatus) { s.Skipped = []v1alpha1.Skipped{{}} }, false},
		"Refused":  {"a refused resource was never in sync", func(s *v1alpha1.MeshSyncStatus) { s.Refused = 1 }, false},
		"Deferred": {"what waits never was", func(s *v1alpha1.MeshSyncStatus) { s.DeferredCount = 1 }, false},
		"Kept":     {"objects kept more, since it was not known what something broken was before", func(s *v1alpha1.MeshSyncStatus) { s.LastKnownGoodRevision = "main@sha1:1" }, false},
		"Begun":    {"it was not done", func(s *v1alpha1.MeshSyncStatus) { s.History[0].LastReconciledStatus = meta.ProgressingReason }, false},
		"Another":  {"another version of Isthmus makes something else of the commit", func(s *v1alpha1.MeshSyncStatus) { s.History[0].Digest = "sha256:a" }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ms := &v1alpha1.MeshSync{Status: v1alpha1.MeshSyncStatus{LastKnownGoodRevision: bundle.Revision, History: meta.History{{
				Digest: "sha256:b", LastReconciledStatus: meta.ReconciliationSucceededReason, Metadata: map[string]string{"revision": bundle.Revision},
			}}}}
			tc.change(&ms.Status)
			if got := syncrun.WasInSync(ms, bundle); got != tc.want {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
}
