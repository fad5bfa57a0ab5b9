package meshsync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

func TestFirstSyncReportsItsWrites(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	ms := w.Applied("mesh", w.Git.First)

	id := ownership.ApplySetID("mesh", namespace, "MeshSync", "isthmus.dev")
	if got := ms.Labels[v1alpha1.ApplySetIDLabel]; got != id {
		t.Errorf("the MeshSync is the parent of an ApplySet: label is %q, want %q", got, id)
	}
	if got := ms.Annotations[v1alpha1.ApplySetToolingAnnotation]; got != "isthmus/v1alpha1" {
		t.Errorf("the parent of an ApplySet names its tooling: %q", got)
	}
	if diff := cmp.Diff([]string{v1alpha1.Finalizer}, ms.Finalizers); diff != "" {
		t.Errorf("finalizers: -want, +got:\n%s", diff)
	}
	objects := w.all()
	if len(objects) == 0 || int64(len(objects)) != ms.Status.Resources || ms.Status.Applied != ms.Status.Resources {
		t.Errorf("the status counts %d resources and %d applied, the cluster has %d objects", ms.Status.Resources, ms.Status.Applied, len(objects))
	}
	for _, object := range objects {
		if object.GetLabels()[ownership.LabelPartOf] != id {
			t.Errorf("%s %s/%s does not carry the label of its MeshSync", object.GetKind(), object.GetNamespace(), object.GetName())
		}
	}
	if want := "main@sha1:" + w.Git.First; ms.Status.LastAttemptedRevision != want || ms.Status.LastAppliedRevision != want {
		t.Errorf("revisions: attempted %q, applied %q, want %q", ms.Status.LastAttemptedRevision, ms.Status.LastAppliedRevision, want)
	}
	if !conditions.IsTrue(ms, meta.HealthyCondition) || conditions.IsReconciling(ms) || conditions.IsStalled(ms) || conditions.Has(ms, v1alpha1.SourceVerifiedCondition) {
		t.Errorf("a ready MeshSync is healthy and neither reconciling nor stalled, and has no condition about signatures: %s", describe(ms))
	}
	if len(ms.Status.History) != 1 || ms.Status.History[0].Metadata["revision"] != ms.Status.LastAppliedRevision {
		t.Errorf("the history has one entry of the revision: %s", describe(ms))
	}
	if events := w.events.with(corev1.EventTypeNormal, meta.ReconciliationSucceededReason); len(events) != 1 || !strings.Contains(events[0], w.Git.First[:12]) {
		t.Errorf("want one event about the revision: %q", events)
	}
}

func TestSteadyClusterSendsNoRequest(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	before := w.Applied("mesh", w.Git.First)
	// The first runs may write the status; later runs write nothing.
	w.Polled(2)
	sent := len(w.requests.list())
	w.Polled(10)
	if extra := w.requests.list()[sent:]; len(extra) > 0 {
		t.Errorf("ten intervals without any change sent %q", extra)
	}
	if after := w.Get("mesh"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("ten intervals without any change wrote the MeshSync: %s", cmp.Diff(before.Status, after.Status))
	}
}

func TestCommitsAreFollowed(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	before := w.Objects()

	// Two new services, one calls the other, so that no other service changes.
	added := w.Git.Commit(map[string]string{"services/fresh.cue": service("fresh", "new"), "services/new.cue": service("new")})
	ms := w.Applied("mesh", added)
	if len(w.all()) <= len(before) || ms.Status.Applied != int64(len(w.all())-len(before)) {
		t.Errorf("a new service adds its resources and writes nothing else: %d objects before, %d after, %d applied", len(before), len(w.all()), ms.Status.Applied)
	}
	ms = w.Applied("mesh", w.Git.Commit(map[string]string{"services/fresh.cue": "", "services/new.cue": ""}))
	if diff := cmp.Diff(keysOf(before), keysOf(w.Objects())); diff != "" {
		t.Errorf("a removed service is pruned whole: -before, +after:\n%s", diff)
	}
	if ms.Status.Pruned == 0 || ms.Status.Applied != 0 {
		t.Errorf("the status does not count the deletions only: %s", describe(ms))
	}
	if len(ms.Status.History) != 2 || ms.Status.History[0].TotalReconciliations != 2 {
		t.Errorf("the history does not have the first bundle again: %s", describe(ms))
	}
}

// drift changes applied objects in three ways and waits until all are corrected.
func (w *world) drift() {
	w.T.Helper()
	want := w.Objects()
	var entries, rules []*unstructured.Unstructured
	for _, object := range want {
		switch object.GetKind() {
		case "ServiceEntry":
			entries = append(entries, object)
		case "DestinationRule":
			rules = append(rules, object)
		}
	}
	if len(entries) < 2 || len(rules) < 1 {
		w.T.Fatalf("the example has %d ServiceEntries and %d DestinationRules, too few for this test", len(entries), len(rules))
	}
	must(w.T, unstructured.SetNestedStringSlice(entries[0].Object, []string{"elsewhere.example.com"}, "spec", "hosts"))
	must(w.T, w.Admin.Update(w.T.Context(), entries[0]))
	must(w.T, w.Admin.Delete(w.T.Context(), entries[1]))
	labels := rules[0].GetLabels()
	delete(labels, ownership.LabelPartOf)
	rules[0].SetLabels(labels)
	must(w.T, w.Admin.Update(w.T.Context(), rules[0]))

	original := map[string]any{}
	for name, object := range want {
		original[name] = object.Object["spec"]
	}
	w.Until("all three edits are undone", func() (bool, string) {
		got := w.Objects()
		hosts, _, _ := unstructured.NestedStringSlice(entryOf(got, entries[0]), "spec", "hosts")
		deleted := entryOf(got, entries[1]) != nil
		label := got["DestinationRule/"+rules[0].GetNamespace()+"/"+rules[0].GetName()].GetLabels()[ownership.LabelPartOf]
		ok := deleted && label != "" && !strings.Contains(strings.Join(hosts, " "), "elsewhere")
		return ok, strings.Join(hosts, " ") + " " + label
	})
}

func entryOf(all map[string]*unstructured.Unstructured, object *unstructured.Unstructured) map[string]any {
	found := all[object.GetKind()+"/"+object.GetNamespace()+"/"+object.GetName()]
	if found == nil {
		return nil
	}
	return found.Object
}

func keysOf(all map[string]*unstructured.Unstructured) map[string]bool {
	keys := map[string]bool{}
	for key := range all {
		keys[key] = true
	}
	return keys
}

func TestDriftIsCorrectedBeforeTheIntervalEnds(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour })
	w.Applied("mesh", w.Git.First)
	asked := w.Git.Asked.Load()
	w.drift()
	w.Until("the event is posted", func() (bool, string) {
		events := w.events.with(corev1.EventTypeNormal, v1alpha1.ReasonDriftCorrected)
		return len(events) > 0, strings.Join(events, "\n")
	})
	if got := w.Git.Asked.Load(); got != asked {
		t.Errorf("drift must not cause a fetch, got %d", got-asked)
	}
	if ms := w.Applied("mesh", w.Git.First); ms.Status.Drifted == 0 {
		t.Errorf("the status does not count the drift: %s", describe(ms))
	}
}

func TestHaltingCommitChangesNothingAndDriftIsCorrected(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.OnError = v1alpha1.OnErrorHalt })
	w.Applied("mesh", w.Git.First)
	before := w.Objects()

	bad := w.Git.Commit(map[string]string{"services/bad.cue": strings.Replace(service("bad"), "egress: {}", "egress: {carts: {}}", 1)})
	ms := w.NotReady("mesh", v1alpha1.ReasonInvalidContent)
	if !conditions.IsStalled(ms) {
		t.Errorf("a bad commit must stall: %s", describe(ms))
	}
	if len(ms.Status.Errors) == 0 || ms.Status.Errors[0].File != "services/bad.cue" || ms.Status.Errors[0].Line == 0 || ms.Status.Errors[0].Service != "bad" {
		t.Errorf("the status names service, file and line: %s", describe(ms))
	}
	if message := conditions.GetMessage(ms, meta.ReadyCondition); !strings.Contains(message, "services/bad.cue:") || !strings.Contains(message, "carts") {
		t.Errorf("the condition names file, line and the unknown callee: %s", message)
	}
	if !strings.HasSuffix(ms.Status.LastAppliedRevision, w.Git.First) || !strings.HasSuffix(ms.Status.LastAttemptedRevision, bad) {
		t.Errorf("revisions: applied %s, attempted %s", ms.Status.LastAppliedRevision, ms.Status.LastAttemptedRevision)
	}
	w.drift()
	if diff := cmp.Diff(keysOf(before), keysOf(w.Objects())); diff != "" {
		t.Errorf("a bad commit changed the cluster: -before, +after:\n%s", diff)
	}
	if ms := w.NotReady("mesh", v1alpha1.ReasonInvalidContent); len(ms.Status.Errors) == 0 {
		t.Errorf("the status lost the errors after the drift: %s", describe(ms))
	}

	ms = w.Applied("mesh", w.Git.Commit(map[string]string{"services/bad.cue": ""}))
	if len(ms.Status.Errors) != 0 || ms.Status.ErrorCount != 0 || conditions.IsStalled(ms) {
		t.Errorf("a fixed commit must clear the errors: %s", describe(ms))
	}
}

func TestDriftIsCorrectedAfterARestartOnABadCommit(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.OnError = v1alpha1.OnErrorHalt })
	w.Applied("mesh", w.Git.First)
	w.Git.Commit(map[string]string{"services/bad.cue": strings.Replace(service("bad"), "egress: {}", "egress: {carts: {}}", 1)})
	w.NotReady("mesh", v1alpha1.ReasonInvalidContent)
	w.stop()
	w.start()
	w.drift()
	if ms := w.NotReady("mesh", v1alpha1.ReasonInvalidContent); !strings.HasSuffix(ms.Status.LastAppliedRevision, w.Git.First) {
		t.Errorf("the correction of drift changed the revisions: %s", describe(ms))
	}

	// The bundle of the last commit for another cluster was never applied here.
	w.stop()
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Cluster = "west" })
	before := w.Objects()
	w.start()
	w.Until("the new spec is used", func() (bool, string) {
		ms := w.Get("mesh")
		return ms.Status.ObservedGeneration == ms.Generation, describe(ms)
	})
	w.Polled(3)
	if diff := cmp.Diff(before, w.Objects()); diff != "" {
		t.Errorf("a restart as another cluster wrote: -before, +after:\n%s", diff)
	}
}

func TestGitOutageChangesNothingAndDriftIsCorrected(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	before := w.Objects()

	w.Git.Down.Store(true)
	ms := w.NotReady("mesh", v1alpha1.ReasonFetchFailed)
	if !conditions.IsReconciling(ms) || conditions.IsStalled(ms) {
		t.Errorf("an outage must be retried and must not stall: %s", describe(ms))
	}
	w.drift()
	if diff := cmp.Diff(keysOf(before), keysOf(w.Objects())); diff != "" {
		t.Errorf("an outage changed the cluster: -before, +after:\n%s", diff)
	}
	w.Git.Down.Store(false)
	w.Applied("mesh", w.Git.First)
}

func TestHangingGitServerDoesNotDelayDriftCorrection(t *testing.T) {
	w := newWorld(t, withIstio)
	// A fetch may then take two hours, far beyond any deadline of this test.
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Timeout.Duration = 4 * time.Hour })
	w.Applied("mesh", w.Git.First)
	w.Git.Hung.Store(true)
	defer w.Git.Hung.Store(false)
	w.Polled(1)
	w.drift()
	if ms := w.Get("mesh"); !conditions.IsReady(ms) {
		t.Errorf("the last result must stay valid during the fetch: %s", describe(ms))
	}
	w.Git.Hung.Store(false)
	w.Applied("mesh", w.Git.Commit(map[string]string{"services/fresh.cue": service("fresh")}))
}

func TestSuspendStopsEverythingAndResumeCatchesUp(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	// An earlier run may still be in progress; ten intervals without a fetch prove that none is.
	w.Until("Git is no longer fetched", func() (bool, string) {
		asked := w.Git.Asked.Load()
		time.Sleep(2 * time.Second)
		return asked == w.Git.Asked.Load(), ""
	})
	victim := w.objects("ServiceEntry")[0]
	must(t, w.Admin.Delete(t.Context(), victim))
	commit := w.Git.Commit(map[string]string{"services/fresh.cue": service("fresh")})
	sent := len(w.requests.list())
	w.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, "now")
	})
	time.Sleep(2 * time.Second)
	if extra := w.requests.list()[sent:]; len(extra) > 0 {
		t.Errorf("a suspended MeshSync does nothing, and sent %q", extra)
	}
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = false })
	w.Applied("mesh", commit)
	if w.Objects()["ServiceEntry/"+victim.GetNamespace()+"/"+victim.GetName()] == nil {
		t.Error("what was deleted while suspended is back after it was resumed")
	}
}

func TestRequestedRunDoesNotWaitForTheInterval(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour })
	w.Applied("mesh", w.Git.First)
	commit := w.Git.Commit(map[string]string{"services/fresh.cue": service("fresh")})
	w.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, "2026-01-01")
	})
	ms := w.Applied("mesh", commit)
	if ms.Status.LastHandledReconcileAt != "2026-01-01" {
		t.Errorf("the status does not have the handled request: %q", ms.Status.LastHandledReconcileAt)
	}
}

func TestObserveWritesNothing(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	w.Until("the MeshSync has observed", func() (bool, string) {
		ms := w.Get("mesh")
		return conditions.IsReady(ms) && conditions.GetReason(ms, meta.ReadyCondition) == v1alpha1.ReasonObserved, describe(ms)
	})
	ms := w.Get("mesh")
	if len(w.all()) != 0 || ms.Status.Applied == 0 || ms.Status.LastAppliedRevision != "" {
		t.Errorf("want the plan listed and no writes: %d objects, %s", len(w.all()), describe(ms))
	}
	healthy := func(want metav1.ConditionStatus, mentions string) {
		t.Helper()
		if c := conditions.Get(ms, meta.HealthyCondition); c == nil || c.Status != want || !strings.Contains(c.Message, mentions) {
			t.Errorf("Healthy is %s and says %q: %s", want, mentions, describe(ms))
		}
	}
	healthy(metav1.ConditionFalse, fmt.Sprintf("0 of %d resources", ms.Status.Resources))
	planned := ms.Status.Pending
	for _, p := range planned {
		if p.Verb != "create" || !strings.Contains(conditions.GetMessage(ms, meta.ReadyCondition), "create "+p.Resource) {
			t.Errorf("the message names what would be created: %s", describe(ms))
		}
	}

	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeApply })
	if ms = w.Applied("mesh", w.Git.First); len(ms.Status.Pending) != 0 {
		t.Errorf("executed writes are still pending: %s", describe(ms))
	}
	healthy(metav1.ConditionTrue, "are in place")
	made := w.Objects()
	for _, p := range planned {
		if !strings.HasPrefix(p.Resource, "Namespace/") && made[p.Resource] == nil {
			t.Errorf("%s was pending and not created", p.Resource)
		}
		delete(made, p.Resource)
	}
	if len(planned) == 0 || len(made) > 0 {
		t.Errorf("besides the %d pending writes there are %v", len(planned), keysOf(made))
	}
}

func TestSuspendedMeshSyncIsNotReconciling(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	w.Git.Down.Store(true)
	w.NotReady("mesh", v1alpha1.ReasonFetchFailed)
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	w.Until("there is no retry", func() (bool, string) {
		ms := w.Get("mesh")
		return !conditions.IsReconciling(ms) && conditions.GetReason(ms, meta.ReadyCondition) == v1alpha1.ReasonFetchFailed, describe(ms)
	})
	w.Git.Down.Store(false)
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = false })
	w.Applied("mesh", w.Git.First)
}

func TestRewrittenHistoryIsFollowedAndReported(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	second := w.Git.Commit(map[string]string{"services/fresh.cue": service("fresh")})
	w.Applied("mesh", second)
	w.Git.Rewind(w.Git.First)
	third := w.Git.Commit(map[string]string{"services/other.cue": service("other")})
	ms := w.Applied("mesh", third)
	if !strings.Contains(ms.Status.RewrittenFrom, second) {
		t.Errorf("the status does not have the earlier commit: %s", describe(ms))
	}
	if events := w.events.with(corev1.EventTypeWarning, v1alpha1.ReasonHistoryRewritten); len(events) != 1 {
		t.Errorf("want one warning about the rewritten history: %q", events)
	}
	ms = w.Applied("mesh", w.Git.Commit(map[string]string{"services/more.cue": service("more")}))
	if ms.Status.RewrittenFrom != "" {
		t.Errorf("the next ordinary commit must clear rewrittenFrom: %s", describe(ms))
	}
}

func TestRestartWritesNothing(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	w.Polled(2)
	before := w.Get("mesh").ResourceVersion
	w.stop()
	w.start()
	w.Polled(3)
	for _, request := range w.requests.list() {
		if !strings.HasPrefix(request, "GET ") {
			t.Errorf("after a restart without any change: %s", request)
		}
	}
	if after := w.Get("mesh").ResourceVersion; after != before {
		t.Error("a restart without any change wrote the MeshSync")
	}
	if len(w.events.seen) > 0 {
		t.Errorf("a restart must post no event: %q", w.events.seen)
	}
}
