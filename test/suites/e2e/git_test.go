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

func TestGitOutageChangesNothingAndSyncsResumeAfterwards(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	before := env.versions()

	env.Git.Down.Store(true)
	ms := env.NotReady("mesh", v1alpha1.ReasonFetchFailed)
	if stalled(ms) || !strings.Contains(message(ms), "503") && !strings.Contains(message(ms), "maintenance") {
		t.Errorf("an outage is retried, and the message contains the response of the server: %s", describe(ms))
	}
	env.Polled(3)
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("an outage changed the cluster: -before, +after:\n%s", diff)
	}
	for _, name := range []string{"FieldChanged", "Deleted"} {
		manualEdits[name].apply(env, env.Objects()[manualEdits[name].key])
		env.restored(env.Git.First)
	}
	commit := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	env.Git.Down.Store(false)
	env.ready("mesh", commit)
}

func TestRestartDuringAGitOutageChangesNothing(t *testing.T) {
	env := newEnvironment(t)
	c := env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	before := env.versions()
	c.stop()
	env.Git.Down.Store(true)
	env.start()
	env.NotReady("mesh", v1alpha1.ReasonFetchFailed)
	env.Polled(3)
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("a controller without a commit changed the cluster: -before, +after:\n%s", diff)
	}
	env.Git.Down.Store(false)
	env.ready("mesh", env.Git.First)
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("after the outage: -before, +after:\n%s", diff)
	}
}

func TestRewrittenHistoryIsAppliedAndReported(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	second := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	env.ready("mesh", second)

	env.Git.Rewind(env.Git.First)
	third := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 7070")
	ms := env.ready("mesh", third)
	if !strings.Contains(ms.Status.RewrittenFrom, second) {
		t.Errorf("the status names the previous commit of the branch: %s", describe(ms))
	}
	env.Until("an event warns about it", func() (bool, string) {
		events := env.events(v1alpha1.ReasonHistoryRewritten)
		return len(events) == 1 && strings.Contains(events[0], second) && strings.Contains(events[0], third), strings.Join(events, "\n")
	})
	ms = env.ready("mesh", env.Git.Edit("services/cart.cue", "targetPort: 7070", "targetPort: 6060"))
	if ms.Status.RewrittenFrom != "" {
		t.Errorf("the next commit clears status.rewrittenFrom: %s", describe(ms))
	}
}

func TestBranchResetDuringARestartIsReported(t *testing.T) {
	env := newEnvironment(t)
	c := env.start()
	env.Create("mesh")
	second := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	env.ready("mesh", second)
	c.stop()
	env.Git.Rewind(env.Git.First)
	env.Git.Push()
	env.start()
	ms := env.ready("mesh", env.Git.First)
	if !strings.Contains(ms.Status.RewrittenFrom, second) {
		t.Errorf("the status names the previous commit of the branch: %s", describe(ms))
	}
}

func TestRequestedReconciliationDoesNotWaitForTheInterval(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh", pollHourly)
	env.ready("mesh", env.Git.First)
	commit := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	env.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, "2026-01-01T00:00:00Z")
	})
	ms := env.ready("mesh", commit)
	if ms.Status.LastHandledReconcileAt != "2026-01-01T00:00:00Z" {
		t.Errorf("the status names the handled request: %s", describe(ms))
	}
}

func TestSuspendStopsAllWorkAndResumeCatchesUp(t *testing.T) {
	const nothing = "suspended: no fetch, no write"
	env := newEnvironment(t)
	c := env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	env.Until("the controller has logged it", func() (bool, string) { return c.logged(nothing) > 0, "" })

	asked := env.Git.Asked.Load()
	c.recorder.reset()
	manualEdits["FieldChanged"].apply(env, env.Objects()[manualEdits["FieldChanged"].key])
	must(t, env.Admin.Delete(t.Context(), env.Objects()["ServiceEntry/cart/cart.cart.global-local"]))
	before := env.versions()
	commit := env.Git.Edit("services/web.cue", "cart: {}, ", "")
	// Each request starts a reconciliation, which does nothing.
	for _, at := range []string{"one", "two", "three"} {
		seen := c.logged(nothing)
		env.Change("mesh", func(ms *v1alpha1.MeshSync) {
			metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, at)
		})
		env.Until("the controller has handled the request", func() (bool, string) { return c.logged(nothing) > seen, "" })
	}
	if got := env.Git.Asked.Load(); got != asked {
		t.Errorf("while suspended, Git was polled %d times", got-asked)
	}
	if writes := c.recorder.requests(request.Writes); len(writes) > 0 {
		t.Errorf("while suspended, the controller sent %q", writes)
	}
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("while suspended, the cluster changed: -before, +after:\n%s", diff)
	}
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = false })
	ms := env.ready("mesh", commit)
	if !conditions.IsReady(ms) || ms.Status.LastHandledReconcileAt != "three" {
		t.Errorf("the last request is marked as handled: %s", describe(ms))
	}
}
