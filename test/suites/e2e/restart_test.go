package e2e_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestRestartWritesNothing(t *testing.T) {
	for name, end := range map[string]func(*controller){"Stopped": (*controller).stop, "Killed": (*controller).kill} {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			// A killed process would keep a lease until it expires.
			c := env.start("--enable-leader-election=false")
			env.Create("mesh")
			env.ready("mesh", env.Git.First)
			env.Polled(3)
			end(c)
			before, sync := env.versions(), env.Get("mesh").ResourceVersion
			c = env.start("--enable-leader-election=false")
			env.Polled(5)
			if diff := cmp.Diff(before, env.versions()); diff != "" {
				t.Errorf("a restart wrote resources: -before, +after:\n%s", diff)
			}
			if got := env.Get("mesh").ResourceVersion; got != sync {
				t.Error("a restart wrote the MeshSync")
			}
			if sent := c.recorder.requests(func(r request) bool { return !r.Reads() }); len(sent) > 0 {
				t.Errorf("a restart sent %q", sent)
			}
			// The new process still applies a commit.
			env.ready("mesh", env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090"))
		})
	}
}

func TestRestartOnACommitThatIsNotAppliedChangesNothing(t *testing.T) {
	cases := map[string]struct {
		reason string
		want   string
		commit func(git *gitops.Repository) string
	}{
		"Bad": {
			reason: "a new process has no good commit in memory and must not apply an empty one",
			want:   v1alpha1.ReasonInvalidContent,
			commit: func(git *gitops.Repository) string { return git.Edit("services/web.cue", "stock: {}", "stocks: {}") },
		},
		"Held": {
			reason: "the guard compares with the cluster, not with the memory of the process",
			want:   "LastEndpoint",
			commit: func(git *gitops.Repository) string {
				return git.Edit("services/stock.cue", "placement: west: {}", "placement: {}")
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			env := newEnvironment(t)
			c := env.start()
			env.Create("mesh", haltOnError)
			env.ready("mesh", env.Git.First)
			before := env.versions()
			commit := tc.commit(env.Git)
			env.notReadyAt("mesh", tc.want, commit)
			c.stop()
			c = env.start()
			env.Polled(5)
			env.notReadyAt("mesh", tc.want, commit)
			if diff := cmp.Diff(before, env.versions()); diff != "" {
				t.Errorf("%s: -before, +after:\n%s", tc.reason, diff)
			}
			if writes := c.recorder.requests(istioWrites); len(writes) > 0 {
				t.Errorf("%s: sent %q", tc.reason, writes)
			}
			drift := manualEdits["FieldChanged"]
			drift.apply(env, env.Objects()[drift.key])
			env.restored(env.Git.First)
			env.ready("mesh", env.Git.Restore(env.Git.First))
		})
	}
}
