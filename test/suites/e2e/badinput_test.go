package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// unpushedCommit creates a commit with changed files on top of HEAD and does not push it.
func unpushedCommit(git *gitops.Repository, files map[string]string) string {
	git.T.Helper()
	for name, text := range files {
		git.Write(name, text)
	}
	git.Run(git.Clone, "add", "-A")
	commit := git.Run(git.Clone, "commit-tree", "-m", "Aside", "-p", "HEAD", git.Run(git.Clone, "write-tree"))
	git.Run(git.Clone, "reset", "-q", "--hard", "HEAD")
	return commit
}

// errorPlaces returns service, file and line of each error in a status.
func errorPlaces(ms *v1alpha1.MeshSync) []string {
	var out []string
	for _, e := range ms.Status.Errors {
		out = append(out, fmt.Sprintf("%s %s:%d", e.Service, e.File, e.Line))
	}
	slices.Sort(out)
	return out
}

func TestBrokenServiceDoesNotBlockOtherServices(t *testing.T) {
	const file = "services/web.cue"
	env := newEnvironment(t)
	text, err := os.ReadFile(filepath.Join(env.Git.Clone, file))
	must(t, err)
	good := string(text)
	bomb := "\t_s0: \"0123456789abcdef\"\n"
	for i := range 30 {
		bomb += fmt.Sprintf("\t_s%d: _s%d + _s%d\n", i+1, i, i)
	}
	c := env.start("--evaluation-memory=256Mi", "--evaluation-cpu=6s")
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	frozen := []v1alpha1.FrozenService{{Service: "web", Revision: "main@sha1:" + env.Git.First}}

	// Each commit changes another service as well.
	extra := func(name string) string {
		return fmt.Sprintf("package config\n\nservices: %q: {\n\towner: \"tests\"\n\tports: http: {port: 80, protocol: \"HTTP\"}\n"+
			"\tbackend: {namespace: %q, selector: app: %q, serviceAccounts: [%q]}\n\tplacement: east: {}\n\tegress: {cart: {}, stock: {}}\n}\n", name, name, name, name)
	}
	var last *v1alpha1.MeshSync
	for i, way := range []struct {
		reason, text string
		places       []string
		says         []string
	}{
		{"it does not parse", strings.TrimSuffix(good, "}\n"), []string{"web services/web.cue:8"}, []string{"expected '}', found 'EOF'"}},
		{"it exceeds a limit of the evaluation", strings.TrimSuffix(good, "}\n") + bomb + "\thosts: [_s30]\n}\n", []string{"web services/web.cue:0"}, []string{"see --evaluation-"}},
		{
			"it names two unknown services and an unknown cluster", strings.NewReplacer("cart: {}", "carts: {}", "stock: {}", "stocks: {}", "east: {}", "{east: {}, north: {}}").Replace(good),
			[]string{"web services/web.cue:7", "web services/web.cue:8", "web services/web.cue:8"},
			[]string{"unknown service carts", "unknown service stocks", "unknown cluster north"},
		},
	} {
		name := fmt.Sprintf("extra-%d", i)
		before := env.versions()
		commit := env.Git.Commit(map[string]string{file: way.text, "services/" + name + ".cue": extra(name)})
		last = env.notReadyAt("mesh", v1alpha1.ReasonServicesFrozen, commit)
		if diff := cmp.Diff(way.places, errorPlaces(last)); diff != "" || last.Status.ErrorCount != int64(len(way.places)) {
			t.Errorf("%s; places of errors: -want, +got:\n%s%s", way.reason, diff, describe(last))
		}
		for _, says := range way.says {
			if !slices.ContainsFunc(last.Status.Errors, func(e v1alpha1.SyncError) bool { return strings.Contains(e.Message, says) }) {
				t.Errorf("%s: no error says %q: %s", way.reason, says, describe(last))
			}
		}
		if diff := cmp.Diff(frozen, last.Status.Frozen); diff != "" || last.Status.FrozenCount != 1 {
			t.Errorf("%s; frozen: -want, +got:\n%s", way.reason, diff)
		}
		if want := "main@sha1:" + commit; last.Status.LastAppliedRevision != want {
			t.Errorf("%s: applied revision is %q, want %q", way.reason, last.Status.LastAppliedRevision, want)
		}
		if diff := env.diff(unpushedCommit(env.Git, map[string]string{file: good})); diff != "" {
			t.Errorf("%s; the cluster differs from the same commit with the last good file: cue export (-), the cluster (+):\n%s", way.reason, diff)
		}
		if after := env.versions(); len(after) == 0 || cmp.Equal(before, after) {
			t.Errorf("%s: the other service was not applied", way.reason)
		}
		latest := last.Status.History.Latest()
		if latest == nil || latest.LastReconciledStatus != v1alpha1.ReasonServicesFrozen || latest.Metadata["revision"] != "main@sha1:"+commit {
			t.Errorf("%s: the history does not contain the commit: %s", way.reason, describe(last))
		}
	}
	if n := len(last.Status.History); n != 4 {
		t.Errorf("four commits were applied, but the history has %d entries: %s", n, describe(last))
	}

	// Mode Observe reports the same errors and writes nothing, also with pending changes.
	before := env.versions()
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	observed := env.observed("mesh", strings.TrimPrefix(last.Status.LastAttemptedRevision, "main@sha1:"))
	if diff := cmp.Diff(last.Status.Errors, observed.Status.Errors); diff != "" {
		t.Errorf("errors: -in mode Apply, +in mode Observe:\n%s", diff)
	}
	if len(observed.Status.Pending) > 0 {
		t.Errorf("nothing is pending: %s", describe(observed))
	}
	if !conditions.IsFalse(observed, meta.ReadyCondition) || conditions.GetReason(observed, meta.ReadyCondition) != v1alpha1.ReasonServicesFrozen {
		t.Errorf("the reason is not ServicesFrozen: %s", describe(observed))
	}
	more := env.Git.Commit(map[string]string{"services/more.cue": extra("more"), "services/extra-0.cue": ""})
	observed = env.observed("mesh", more)
	if diff := cmp.Diff(last.Status.Errors, observed.Status.Errors); diff != "" {
		t.Errorf("errors of the next commit: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(frozen, observed.Status.Frozen); diff != "" {
		t.Errorf("frozen: -in mode Apply, +in mode Observe:\n%s", diff)
	}
	if !slices.ContainsFunc(observed.Status.Pending, func(p v1alpha1.Pending) bool { return strings.Contains(fmt.Sprint(p), "cart") }) {
		t.Errorf("cart is pending: %s", describe(observed))
	}
	env.Polled(3)
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("mode Observe wrote: -before, +after:\n%s", diff)
	}

	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeApply })
	env.notReadyAt("mesh", v1alpha1.ReasonServicesFrozen, more)
	if diff := env.diff(unpushedCommit(env.Git, map[string]string{file: good})); diff != "" {
		t.Errorf("cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	env.ready("mesh", env.Git.Commit(map[string]string{file: good}))
	// The same process ran all the time.
	c.stop()
}

// observed waits until a MeshSync in mode Observe has planned the commit.
func (env *environment) observed(name, commit string) *v1alpha1.MeshSync {
	env.T.Helper()
	var ms *v1alpha1.MeshSync
	env.Until("MeshSync "+name+" has observed "+commit, func() (bool, string) {
		ms = env.Get(name)
		return strings.HasPrefix(message(ms), "Observed main@sha1:"+commit[:12]) &&
			ms.Status.ObservedGeneration == ms.Generation, describe(ms)
	})
	return ms
}
