package e2e_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestARestartWritesNothing(t *testing.T) {
	for name, end := range map[string]func(*controller){"Stopped": (*controller).stop, "Killed": (*controller).kill} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			// Without a lease: a killed process holds it for as long as it is valid.
			c := w.start("--enable-leader-election=false")
			w.Create("mesh")
			w.ready("mesh", w.Git.First)
			w.Polled(3)
			end(c)
			before, sync := w.versions(), w.Get("mesh").ResourceVersion
			c = w.start("--enable-leader-election=false")
			w.Polled(5)
			if diff := cmp.Diff(before, w.versions()); diff != "" {
				t.Errorf("a restart wrote resources: -before, +after:\n%s", diff)
			}
			if got := w.Get("mesh").ResourceVersion; got != sync {
				t.Error("a restart wrote the MeshSync")
			}
			if sent := c.wire.requests(func(r request) bool { return !r.reads() }); len(sent) > 0 {
				t.Errorf("a restart sent %q", sent)
			}
			// It is awake all the same.
			w.ready("mesh", w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090"))
		})
	}
}

func TestARestartOnACommitThatIsNotAppliedLeavesEverything(t *testing.T) {
	cases := map[string]struct {
		reason string
		want   string
		commit func(git *gitops.Repository) string
	}{
		"Bad": {
			reason: "a new process knows no good commit, and must not take that for an empty one",
			want:   v1alpha1.ReasonInvalidContent,
			commit: func(git *gitops.Repository) string { return git.Edit("services/web.cue", "stock: {}", "stocks: {}") },
		},
		"Held": {
			reason: "what is held is held by the cluster's own state, not by what the process remembers",
			want:   "LastEndpoint",
			commit: func(git *gitops.Repository) string {
				return git.Edit("services/stock.cue", "placement: west: {}", "placement: {}")
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.start()
			w.Create("mesh", halting)
			w.ready("mesh", w.Git.First)
			before := w.versions()
			commit := tc.commit(w.Git)
			w.refuses("mesh", tc.want, commit)
			c.stop()
			c = w.start()
			w.Polled(5)
			w.refuses("mesh", tc.want, commit)
			if diff := cmp.Diff(before, w.versions()); diff != "" {
				t.Errorf("%s: -before, +after:\n%s", tc.reason, diff)
			}
			if writes := c.wire.requests(func(r request) bool { return r.writes() && r.resources() }); len(writes) > 0 {
				t.Errorf("%s: sent %q", tc.reason, writes)
			}
			drift := spoilt["FieldChanged"]
			drift.spoil(w, w.Objects()[drift.key])
			w.restored(w.Git.First)
			w.ready("mesh", w.Git.Restore(w.Git.First))
		})
	}
}
