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

// aside is a commit that nobody pushes: the one that is there, with files changed.
func aside(git *gitops.Repository, files map[string]string) string {
	git.T.Helper()
	for name, text := range files {
		git.Write(name, text)
	}
	git.Run(git.Clone, "add", "-A")
	commit := git.Run(git.Clone, "commit-tree", "-m", "Aside", "-p", "HEAD", git.Run(git.Clone, "write-tree"))
	git.Run(git.Clone, "reset", "-q", "--hard", "HEAD")
	return commit
}

// places are where the errors of a status are, with the service to blame.
func places(ms *v1alpha1.MeshSync) []string {
	var out []string
	for _, e := range ms.Status.Errors {
		out = append(out, fmt.Sprintf("%s %s:%d", e.Service, e.File, e.Line))
	}
	slices.Sort(out)
	return out
}

func TestAServiceThatBreaksInOneWayAfterTheOtherIsInNobodysWay(t *testing.T) {
	const file = "services/web.cue"
	w := newWorld(t)
	text, err := os.ReadFile(filepath.Join(w.Git.Clone, file))
	must(t, err)
	good := string(text)
	bomb := "\t_s0: \"0123456789abcdef\"\n"
	for i := range 30 {
		bomb += fmt.Sprintf("\t_s%d: _s%d + _s%d\n", i+1, i, i)
	}
	c := w.start("--evaluation-memory=256Mi", "--evaluation-cpu=6s")
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	kept := []v1alpha1.FrozenService{{Service: "web", Revision: "main@sha1:" + w.Git.First}}

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
		{"it is too much", strings.TrimSuffix(good, "}\n") + bomb + "\thosts: [_s30]\n}\n", []string{"web services/web.cue:0"}, []string{"see --evaluation-"}},
		{
			"it calls two that there are not, and is where there is nothing", strings.NewReplacer("cart: {}", "carts: {}", "stock: {}", "stocks: {}", "east: {}", "{east: {}, north: {}}").Replace(good),
			[]string{"web services/web.cue:7", "web services/web.cue:8", "web services/web.cue:8"},
			[]string{"unknown service carts", "unknown service stocks", "unknown cluster north"},
		},
	} {
		name := fmt.Sprintf("extra-%d", i)
		before := w.versions()
		commit := w.Git.Commit(map[string]string{file: way.text, "services/" + name + ".cue": extra(name)})
		last = w.refuses("mesh", v1alpha1.ReasonServicesFrozen, commit)
		if diff := cmp.Diff(way.places, places(last)); diff != "" || last.Status.ErrorCount != int64(len(way.places)) {
			t.Errorf("%s; places of the errors: -want, +got:\n%s%s", way.reason, diff, describe(last))
		}
		for _, says := range way.says {
			if !slices.ContainsFunc(last.Status.Errors, func(e v1alpha1.SyncError) bool { return strings.Contains(e.Message, says) }) {
				t.Errorf("%s: no error says %q: %s", way.reason, says, describe(last))
			}
		}
		if diff := cmp.Diff(kept, last.Status.Frozen); diff != "" || last.Status.FrozenCount != 1 {
			t.Errorf("%s; frozen: -want, +got:\n%s", way.reason, diff)
		}
		if want := "main@sha1:" + commit; last.Status.LastAppliedRevision != want {
			t.Errorf("%s: applied revision is %q, want %q", way.reason, last.Status.LastAppliedRevision, want)
		}
		if diff := w.differs(aside(w.Git, map[string]string{file: good})); diff != "" {
			t.Errorf("%s; the cluster is not as if it had never been committed: cue export (-), the cluster (+):\n%s", way.reason, diff)
		}
		if after := w.versions(); len(after) == 0 || cmp.Equal(before, after) {
			t.Errorf("%s: nothing came of the other service", way.reason)
		}
		latest := last.Status.History.Latest()
		if latest == nil || latest.LastReconciledStatus != v1alpha1.ReasonServicesFrozen || latest.Metadata["revision"] != "main@sha1:"+commit {
			t.Errorf("%s: the history does not tell: %s", way.reason, describe(last))
		}
	}
	if n := len(last.Status.History); n != 4 {
		t.Errorf("four commits were applied, and the history has %d: %s", n, describe(last))
	}

	// Who only looks sees the same, and writes nothing, also when there is more to do.
	before := w.versions()
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	observed := w.observes("mesh", strings.TrimPrefix(last.Status.LastAttemptedRevision, "main@sha1:"))
	if diff := cmp.Diff(last.Status.Errors, observed.Status.Errors); diff != "" {
		t.Errorf("errors: -in mode Apply, +in mode Observe:\n%s", diff)
	}
	if len(observed.Status.Pending) > 0 {
		t.Errorf("all of it is applied: %s", describe(observed))
	}
	if !conditions.IsFalse(observed, meta.ReadyCondition) || conditions.GetReason(observed, meta.ReadyCondition) != v1alpha1.ReasonServicesFrozen {
		t.Errorf("what is broken is not told first: %s", describe(observed))
	}
	more := w.Git.Commit(map[string]string{"services/more.cue": extra("more"), "services/extra-0.cue": ""})
	observed = w.observes("mesh", more)
	if diff := cmp.Diff(last.Status.Errors, observed.Status.Errors); diff != "" {
		t.Errorf("errors of the next commit: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff(kept, observed.Status.Frozen); diff != "" {
		t.Errorf("frozen: -in mode Apply, +in mode Observe:\n%s", diff)
	}
	if !slices.ContainsFunc(observed.Status.Pending, func(p v1alpha1.Pending) bool { return strings.Contains(fmt.Sprint(p), "cart") }) {
		t.Errorf("cart would be written: %s", describe(observed))
	}
	w.Polled(3)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("mode Observe wrote: -before, +after:\n%s", diff)
	}

	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeApply })
	w.refuses("mesh", v1alpha1.ReasonServicesFrozen, more)
	if diff := w.differs(aside(w.Git, map[string]string{file: good})); diff != "" {
		t.Errorf("cue export (-) and the cluster (+) differ:\n%s", diff)
	}
	w.ready("mesh", w.Git.Commit(map[string]string{file: good}))
	// The whole time it was one process.
	c.stop()
}

// observes waits for the MeshSync to say that it looked at this commit, and what would be to do.
func (w *world) observes(name, commit string) *v1alpha1.MeshSync {
	w.T.Helper()
	var ms *v1alpha1.MeshSync
	w.Until("MeshSync "+name+" has observed "+commit, func() (bool, string) {
		ms = w.Get(name)
		return strings.HasPrefix(message(ms), "Observed main@sha1:"+commit[:12]) &&
			ms.Status.ObservedGeneration == ms.Generation, describe(ms)
	})
	return ms
}
