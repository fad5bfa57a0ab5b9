package e2e_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

func TestAGitOutageLeavesEverythingAndItsEndIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	before := w.versions()

	w.Git.Down.Store(true)
	ms := w.NotReady("mesh", v1alpha1.ReasonFetchFailed)
	if stalled(ms) || !strings.Contains(message(ms), "503") && !strings.Contains(message(ms), "maintenance") {
		t.Errorf("an outage is tried again, and the message has the server's answer: %s", describe(ms))
	}
	w.Polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("an outage changed the cluster: -before, +after:\n%s", diff)
	}
	for _, name := range []string{"FieldChanged", "Deleted"} {
		spoilt[name].spoil(w, w.Objects()[spoilt[name].key])
		w.restored(w.Git.First)
	}
	commit := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.Git.Down.Store(false)
	w.ready("mesh", commit)
}

func TestARestartDuringAGitOutageLeavesEverything(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	before := w.versions()
	c.stop()
	w.Git.Down.Store(true)
	w.start()
	w.NotReady("mesh", v1alpha1.ReasonFetchFailed)
	w.Polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("a controller that knows no commit changed the cluster: -before, +after:\n%s", diff)
	}
	w.Git.Down.Store(false)
	w.ready("mesh", w.Git.First)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("after the outage: -before, +after:\n%s", diff)
	}
}

func TestARewrittenHistoryIsFollowedAndReported(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	second := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.ready("mesh", second)

	w.Git.Rewind(w.Git.First)
	third := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 7070")
	ms := w.ready("mesh", third)
	if !strings.Contains(ms.Status.RewrittenFrom, second) {
		t.Errorf("the status names the commit that the branch held: %s", describe(ms))
	}
	w.Until("a warning tells of it", func() (bool, string) {
		events := w.events(v1alpha1.ReasonHistoryRewritten)
		return len(events) == 1 && strings.Contains(events[0], second) && strings.Contains(events[0], third), strings.Join(events, "\n")
	})
	ms = w.ready("mesh", w.Git.Edit("services/cart.cue", "targetPort: 7070", "targetPort: 6060"))
	if ms.Status.RewrittenFrom != "" {
		t.Errorf("the next ordinary commit ends it: %s", describe(ms))
	}
}

func TestAHistoryThatWasSetBackIsReportedAfterARestart(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.Create("mesh")
	second := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.ready("mesh", second)
	c.stop()
	w.Git.Rewind(w.Git.First)
	w.Git.Push()
	w.start()
	ms := w.ready("mesh", w.Git.First)
	if !strings.Contains(ms.Status.RewrittenFrom, second) {
		t.Errorf("the status names the commit that the branch held: %s", describe(ms))
	}
}

func TestARequestedRunDoesNotWaitForTheInterval(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh", hourly)
	w.ready("mesh", w.Git.First)
	commit := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, "2026-01-01T00:00:00Z")
	})
	ms := w.ready("mesh", commit)
	if ms.Status.LastHandledReconcileAt != "2026-01-01T00:00:00Z" {
		t.Errorf("the status tells which request was heeded: %s", describe(ms))
	}
}

func TestSuspendStopsEverythingAndResumeCatchesUp(t *testing.T) {
	const nothing = "suspended: nothing is done"
	w := newWorld(t)
	c := w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	w.Until("the controller has seen it", func() (bool, string) { return c.logged(nothing) > 0, "" })

	asked := w.Git.Asked.Load()
	c.wire.forget()
	spoilt["FieldChanged"].spoil(w, w.Objects()[spoilt["FieldChanged"].key])
	must(t, w.Admin.Delete(t.Context(), w.Objects()["ServiceEntry/cart/cart.cart.global-local"]))
	before := w.versions()
	commit := w.Git.Edit("services/web.cue", "cart: {}, ", "")
	// Each of these wakes it, and it does nothing again.
	for _, at := range []string{"one", "two", "three"} {
		seen := c.logged(nothing)
		w.Change("mesh", func(ms *v1alpha1.MeshSync) {
			metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, at)
		})
		w.Until("the controller has seen the request", func() (bool, string) { return c.logged(nothing) > seen, "" })
	}
	if got := w.Git.Asked.Load(); got != asked {
		t.Errorf("while suspended, Git was asked %d times", got-asked)
	}
	if writes := c.wire.requests(request.writes); len(writes) > 0 {
		t.Errorf("while suspended, the controller sent %q", writes)
	}
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("while suspended, the cluster changed: -before, +after:\n%s", diff)
	}
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = false })
	ms := w.ready("mesh", commit)
	if !conditions.IsReady(ms) || ms.Status.LastHandledReconcileAt != "three" {
		t.Errorf("the last request counts as heeded: %s", describe(ms))
	}
}
