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
	w.create("mesh")
	w.ready("mesh", w.git.first)
	before := w.versions()

	w.git.down.Store(true)
	ms := w.notReady("mesh", v1alpha1.ReasonFetchFailed)
	if stalled(ms) || !strings.Contains(message(ms), "503") && !strings.Contains(message(ms), "maintenance") {
		t.Errorf("an outage is tried again, and the message has the server's answer: %s", describe(ms))
	}
	w.polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("an outage changed the cluster: -before, +after:\n%s", diff)
	}
	for _, name := range []string{"FieldChanged", "Deleted"} {
		spoilt[name].spoil(w, w.objects()[spoilt[name].key])
		w.restored(w.git.first)
	}
	commit := w.git.edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.git.down.Store(false)
	w.ready("mesh", commit)
}

func TestARestartDuringAGitOutageLeavesEverything(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.create("mesh")
	w.ready("mesh", w.git.first)
	before := w.versions()
	c.stop()
	w.git.down.Store(true)
	w.start()
	w.notReady("mesh", v1alpha1.ReasonFetchFailed)
	w.polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("a controller that knows no commit changed the cluster: -before, +after:\n%s", diff)
	}
	w.git.down.Store(false)
	w.ready("mesh", w.git.first)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("after the outage: -before, +after:\n%s", diff)
	}
}

func TestARewrittenHistoryIsFollowedAndReported(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.create("mesh")
	w.ready("mesh", w.git.first)
	second := w.git.edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.ready("mesh", second)

	w.git.run(w.git.clone, "reset", "-q", "--hard", w.git.first)
	third := w.git.edit("services/cart.cue", "targetPort: 8080", "targetPort: 7070")
	ms := w.ready("mesh", third)
	if !strings.Contains(ms.Status.RewoundFrom, second) {
		t.Errorf("the status names the commit that the branch held: %s", describe(ms))
	}
	w.until("a warning tells of it", func() (bool, string) {
		events := w.events(v1alpha1.ReasonRewound)
		return len(events) == 1 && strings.Contains(events[0], second) && strings.Contains(events[0], third), strings.Join(events, "\n")
	})
	ms = w.ready("mesh", w.git.edit("services/cart.cue", "targetPort: 7070", "targetPort: 6060"))
	if ms.Status.RewoundFrom != "" {
		t.Errorf("the next ordinary commit ends it: %s", describe(ms))
	}
}

func TestAHistoryThatWasSetBackIsReportedAfterARestart(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.create("mesh")
	second := w.git.edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.ready("mesh", second)
	c.stop()
	w.git.run(w.git.clone, "reset", "-q", "--hard", w.git.first)
	w.git.push()
	w.start()
	ms := w.ready("mesh", w.git.first)
	if !strings.Contains(ms.Status.RewoundFrom, second) {
		t.Errorf("the status names the commit that the branch held: %s", describe(ms))
	}
}

func TestARequestedRunDoesNotWaitForTheInterval(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.create("mesh", hourly)
	w.ready("mesh", w.git.first)
	commit := w.git.edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.change("mesh", func(ms *v1alpha1.MeshSync) {
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
	w.create("mesh")
	w.ready("mesh", w.git.first)
	w.change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	w.until("the controller has seen it", func() (bool, string) { return c.logged(nothing) > 0, "" })

	asked := w.git.asked.Load()
	c.wire.forget()
	spoilt["FieldChanged"].spoil(w, w.objects()[spoilt["FieldChanged"].key])
	must(t, w.admin.Delete(t.Context(), w.objects()["ServiceEntry/cart/cart.cart.global-local"]))
	before := w.versions()
	commit := w.git.edit("services/web.cue", "cart: {}, ", "")
	// Each of these wakes it, and it does nothing again.
	for _, at := range []string{"one", "two", "three"} {
		seen := c.logged(nothing)
		w.change("mesh", func(ms *v1alpha1.MeshSync) {
			metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, at)
		})
		w.until("the controller has seen the request", func() (bool, string) { return c.logged(nothing) > seen, "" })
	}
	if got := w.git.asked.Load(); got != asked {
		t.Errorf("while suspended, Git was asked %d times", got-asked)
	}
	if writes := c.wire.requests(request.writes); len(writes) > 0 {
		t.Errorf("while suspended, the controller sent %q", writes)
	}
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("while suspended, the cluster changed: -before, +after:\n%s", diff)
	}
	w.change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = false })
	ms := w.ready("mesh", commit)
	if !conditions.IsReady(ms) || ms.Status.LastHandledReconcileAt != "three" {
		t.Errorf("the last request counts as heeded: %s", describe(ms))
	}
}
