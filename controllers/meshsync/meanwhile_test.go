package meshsync_test

import (
	"context"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/controllers/meshsync"
	git "github.com/isthmus-mesh/isthmus/internal/source"
)

// interrupted runs a function before the next result of a fetch is returned.
type interrupted struct {
	meshsync.Fetcher
	then chan func()
}

func (f *interrupted) Fetch(ctx context.Context, ms *v1alpha1.MeshSync, known string, fresh bool) (*git.Snapshot, error) {
	snapshot, err := f.Fetcher.Fetch(ctx, ms, known, fresh)
	select {
	case then := <-f.then:
		then()
	default:
	}
	return snapshot, err
}

// newInterruptedWorld has applied its first commit and fetches on request only.
func newInterruptedWorld(t *testing.T) (*world, *interrupted) {
	w := newWorld(t, withIstio)
	w.stop()
	f := &interrupted{Fetcher: &meshsync.GitFetcher{Secrets: w.Admin}, then: make(chan func(), 1)}
	w.start(meshsync.WithFetcher(f))
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour })
	w.Applied("mesh", w.Git.First)
	return w, f
}

func (w *world) request(token string) {
	w.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, meta.ReconcileRequestAnnotation, token)
	})
}

func TestRequestDuringAFetchIsHandled(t *testing.T) {
	w, f := newInterruptedWorld(t)
	w.Git.Commit(map[string]string{"services/two.cue": service("two")})
	third := make(chan string, 1)
	f.then <- func() {
		third <- w.Git.Commit(map[string]string{"services/three.cue": service("three")})
		w.request("t2")
	}
	w.request("t1")
	w.Applied("mesh", <-third)
}

func TestSpecChangedDuringAFetchIsNotReportedAsApplied(t *testing.T) {
	w, f := newInterruptedWorld(t)
	w.Git.Commit(map[string]string{"services/two.cue": service("two")})
	f.then <- func() {
		w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Source.Ref = &v1alpha1.Ref{Branch: "no-such-branch"} })
	}
	all, err := w.Admin.Watch(t.Context(), &v1alpha1.MeshSyncList{}, client.InNamespace(namespace))
	must(t, err)
	defer all.Stop()
	w.request("t1")
	for event := range all.ResultChan() {
		ms, ok := event.Object.(*v1alpha1.MeshSync)
		if !ok || ms.Spec.Source.Ref == nil || ms.Spec.Source.Ref.Branch != "no-such-branch" {
			continue
		}
		ready := conditions.Get(ms, meta.ReadyCondition)
		if ready.Status == metav1.ConditionFalse {
			return
		}
		if ready.Status == metav1.ConditionTrue && (ready.ObservedGeneration == ms.Generation || ms.Status.ObservedGeneration == ms.Generation) {
			t.Fatalf("Ready for a branch that does not exist:%s", describe(ms))
		}
	}
	t.Error("the watch ended")
}
