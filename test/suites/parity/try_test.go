package parity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/parity"
)

// ran is what a command did.
type ran struct {
	status         int
	stdout, stderr string
}

// trial holds one repository against plain CUE, and again after a change.
type trial struct {
	// cue is the real command, isthmus ours, cache the folder in which it finds what it kept of runs before.
	cue, isthmus, cache string
	// dir is where the repository is written.
	dir string
}

// verdict is what came of it.
type verdict struct {
	// refused is why plain CUE does not accept the repository, "" if it does; changeRefused the same of the change.
	refused, changeRefused string
	// different is how isthmus answered otherwise than plain CUE, "" if it did not, and kind what sort of difference that is.
	different, kind string
	// features occur in the repository, and what was changed.
	features map[string]int
	// compared are the renderings, resources what they held; both refuse some clusters.
	compared, resources, clustersRefused int
}

func (tr trial) run(ctx context.Context, t *testing.T, name string, args ...string) ran {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = tr.dir
	// The processes are short: collecting garbage costs them more than it saves.
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+tr.cache, "GOGC=400")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// try makes the repository of a spec, cold and changed.
func (tr trial) try(ctx context.Context, t *testing.T, spec parity.Spec) verdict {
	t.Helper()
	var v verdict
	for _, spec.Changed = range []bool{false, true} {
		repo, err := parity.Make(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := repo.Write(tr.dir); err != nil {
			t.Fatal(err)
		}
		vet := tr.run(ctx, t, tr.cue, append([]string{"vet"}, repo.Vet...)...)
		if !spec.Changed {
			v.features = repo.Features
			if v.refused = refusal(vet); v.refused != "" {
				return v
			}
		} else if v.changeRefused = refusal(vet); v.changeRefused != "" {
			if repo.Mistake {
				v.features[repo.Change]++
				v.changeRefused = ""
				v.different, v.kind = tr.refuses(ctx, t, repo), "accepts a mistake"
			}
			return v
		} else {
			v.features[repo.Change]++
		}
		// The same cluster first, so that there is something to find in the cache.
		clusters := repo.Clusters[:1]
		if !spec.Changed && spec.Seed%8 < 3 {
			clusters = repo.Clusters[:2]
		}
		for _, cluster := range clusters {
			count, problem, kind := tr.compare(ctx, t, repo, cluster)
			if count < 0 {
				v.clustersRefused++
				continue
			}
			v.compared++
			v.resources += count
			if problem != "" {
				v.different, v.kind = problem, kind
				return v
			}
		}
	}
	return v
}

func refusal(vet ran) string {
	if vet.status == 0 {
		return ""
	}
	return "cue vet: " + vet.stderr + vet.stdout
}

// refuses wants isthmus to find what plain CUE found.
func (tr trial) refuses(ctx context.Context, t *testing.T, repo *parity.Repository) string {
	t.Helper()
	for _, cluster := range repo.Clusters[:1] {
		if r := tr.run(ctx, t, tr.isthmus, "render", "--cluster", cluster, "-o", "json"); r.status != 1 {
			return fmt.Sprintf("%s: plain CUE refuses it, and isthmus render --cluster %s ends with status %d instead of 1\n%s", repo.Change, cluster, r.status, r.stderr)
		}
	}
	return ""
}

// compare renders for a cluster and returns the number of resources, -1 if both refuse it, or how the two differ.
func (tr trial) compare(ctx context.Context, t *testing.T, repo *parity.Repository, cluster string) (count int, problem, kind string) {
	t.Helper()
	when := "cluster " + cluster
	if repo.Change != "" {
		when += " after the change: " + repo.Change
	}
	exported := tr.run(ctx, t, tr.cue, append([]string{"export", "-t", "cluster=" + cluster, "-e", "resources"}, repo.Export...)...)
	rendered := tr.run(ctx, t, tr.isthmus, "render", "--cluster", cluster, "-o", "json")
	statuses := fmt.Sprintf("cue export ends with status %d, isthmus render with status %d", exported.status, rendered.status)
	switch {
	case exported.status != 0 && rendered.status == 1:
		t.Logf("%s: refused by both: %s", when, exported.stderr)
		return -1, "", ""
	case exported.status != 0 || rendered.status != 0:
		return 0, fmt.Sprintf("%s: %s\n%s%s", when, statuses, exported.stderr, rendered.stderr), statuses
	}
	want, count, err := canonical(exported.stdout)
	if err != nil {
		return 0, fmt.Sprintf("%s: cue export: %v", when, err), "cue export prints no JSON"
	}
	got, _, err := canonical(rendered.stdout)
	if err != nil {
		return 0, fmt.Sprintf("%s: isthmus render: %v", when, err), "isthmus render prints no JSON"
	}
	if want != got {
		return 0, fmt.Sprintf("%s (-cue export +isthmus render):\n%s", when, cmp.Diff(want, got)), "other resources"
	}
	return count, "", ""
}

// canonical is JSON with its keys sorted and its numbers as they were written, and how many fields it has.
func canonical(text string) (string, int, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		return "", 0, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(fields)
	return b.String(), len(fields), err
}

// smaller leaves out features, and then services, as long as there is a difference of the kind.
func (tr trial) smaller(ctx context.Context, t *testing.T, spec parity.Spec, kind string) parity.Spec {
	t.Helper()
	fails := func(spec parity.Spec) bool {
		if ctx.Err() != nil {
			return false
		}
		if err := os.RemoveAll(tr.cache); err != nil {
			t.Fatal(err)
		}
		return tr.try(ctx, t, spec).kind == kind
	}
	repo, err := parity.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	spec.Without = append(spec.Without, drop(slices.Sorted(keys(repo.Features)), func(list []string) bool {
		less := spec
		less.Without = slices.Concat(spec.Without, list)
		return fails(less)
	})...)
	spec.WithoutServices = append(spec.WithoutServices, drop(repo.Services, func(list []string) bool {
		less := spec
		less.WithoutServices = slices.Concat(spec.WithoutServices, list)
		return fails(less)
	})...)
	return spec
}

// drop is as much of a list as can be left out while it fails, tried in halves, quarters and so on.
func drop(list []string, fails func(dropped []string) bool) []string {
	var dropped []string
	for size := len(list); size > 0; size /= 2 {
		var kept []string
		for chunk := range slices.Chunk(list, size) {
			if more := slices.Concat(dropped, chunk); fails(more) {
				dropped = more
			} else {
				kept = append(kept, chunk...)
			}
		}
		list = kept
	}
	return dropped
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// show writes a repository into folders that stay, before and after the change, and is a text of its own files.
func show(t *testing.T, spec parity.Spec) string {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("parity-seed-%d-", spec.Seed))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var before map[string]string
	for _, spec.Changed = range []bool{false, true} {
		repo, err := parity.Make(spec)
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(dir, map[bool]string{false: "before", true: "after"}[spec.Changed])
		if err := repo.Write(folder); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s (cue export %s)\n", folder, strings.Join(repo.Export, " "))
		for _, name := range slices.Sorted(names(repo.Files)) {
			if before[name] != repo.Files[name] && !strings.HasPrefix(name, "cue.mod/pkg/isthmus.dev/") {
				fmt.Fprintf(&b, "-- %s --\n%s", name, repo.Files[name])
			}
		}
		before = repo.Files
	}
	return b.String()
}

func names(files map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	}
}
