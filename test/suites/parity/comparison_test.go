package parity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/parity"
)

// commandResult is the result of a command.
type commandResult struct {
	status         int
	stdout, stderr string
}

// comparison compares isthmus with plain CUE for one repository, before and after a change.
type comparison struct {
	// cue and isthmus are the commands, cache is the cache folder of isthmus.
	cue, isthmus, cache string
	// dir is the folder of the repository.
	dir string
}

// outcome is the result of a comparison.
type outcome struct {
	// rejected is the error of plain CUE for the repository, changeRejected for the changed one. ""
	// means accepted.
	rejected, changeRejected string
	// difference describes how isthmus differs from plain CUE, "" if it does not. kind is the kind
	// of the difference.
	difference, kind string
	// features counts the features of the repository and the change.
	features map[string]int
	// compared counts the compared renderings, resources the resources in them, clustersRejected
	// the clusters that both commands reject.
	compared, resources, clustersRejected int
}

func (c comparison) exec(ctx context.Context, t *testing.T, name string, args ...string) commandResult {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	// The processes are short, so garbage collection costs more than it saves.
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+c.cache, "GOGC=400")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return commandResult{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// run compares the repository of a spec, first without a cache, then after the change.
func (c comparison) run(ctx context.Context, t *testing.T, spec parity.Spec) outcome {
	t.Helper()
	var v outcome
	for _, spec.Changed = range []bool{false, true} {
		repo, err := parity.Make(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := repo.Write(c.dir); err != nil {
			t.Fatal(err)
		}
		vet := c.exec(ctx, t, c.cue, append([]string{"vet"}, repo.Vet...)...)
		if !spec.Changed {
			v.features = repo.Features
			if v.rejected = rejection(vet); v.rejected != "" {
				return v
			}
		} else if v.changeRejected = rejection(vet); v.changeRejected != "" {
			if repo.Mistake {
				v.features[repo.Change]++
				v.changeRejected = ""
				v.difference, v.kind = c.expectRejection(ctx, t, repo), "accepts a mistake"
			}
			return v
		} else {
			v.features[repo.Change]++
		}
		// The first cluster is rendered before and after the change, so that the cache is used.
		clusters := repo.Clusters[:1]
		if !spec.Changed && spec.Seed%8 < 3 {
			clusters = repo.Clusters[:2]
		}
		for _, cluster := range clusters {
			count, problem, kind := c.compare(ctx, t, repo, cluster)
			if count < 0 {
				v.clustersRejected++
				continue
			}
			v.compared++
			v.resources += count
			if problem != "" {
				v.difference, v.kind = problem, kind
				return v
			}
		}
	}
	return v
}

func rejection(vet commandResult) string {
	if vet.status == 0 {
		return ""
	}
	return "cue vet: " + vet.stderr + vet.stdout
}

// expectRejection describes the difference if isthmus accepts a repository that plain CUE rejects.
func (c comparison) expectRejection(ctx context.Context, t *testing.T, repo *parity.Repository) string {
	t.Helper()
	for _, cluster := range repo.Clusters[:1] {
		if r := c.exec(ctx, t, c.isthmus, "render", "--cluster", cluster, "-o", "json"); r.status != 1 {
			return fmt.Sprintf("%s: plain CUE rejects it, and isthmus render --cluster %s has the exit status %d instead of 1\n%s", repo.Change, cluster, r.status, r.stderr)
		}
	}
	return ""
}

// compare renders for a cluster. It returns the number of resources (-1 if both commands reject the
// cluster), and the difference and its kind.
func (c comparison) compare(ctx context.Context, t *testing.T, repo *parity.Repository, cluster string) (count int, problem, kind string) {
	t.Helper()
	when := "cluster " + cluster
	if repo.Change != "" {
		when += " after the change: " + repo.Change
	}
	exported := c.exec(ctx, t, c.cue, append([]string{"export", "-t", "cluster=" + cluster, "-e", "resources"}, repo.Export...)...)
	rendered := c.exec(ctx, t, c.isthmus, "render", "--cluster", cluster, "-o", "json")
	statuses := fmt.Sprintf("cue export has the exit status %d, isthmus render %d", exported.status, rendered.status)
	switch {
	case exported.status != 0 && rendered.status == 1:
		t.Logf("%s: rejected by both: %s", when, exported.stderr)
		return -1, "", ""
	case exported.status != 0 || rendered.status != 0:
		return 0, fmt.Sprintf("%s: %s\n%s%s", when, statuses, exported.stderr, rendered.stderr), statuses
	}
	want, count, err := canonical(exported.stdout)
	if err != nil {
		return 0, fmt.Sprintf("%s: cue export: %v", when, err), "cue export does not print JSON"
	}
	got, _, err := canonical(rendered.stdout)
	if err != nil {
		return 0, fmt.Sprintf("%s: isthmus render: %v", when, err), "isthmus render does not print JSON"
	}
	if want != got {
		return 0, fmt.Sprintf("%s (-cue export +isthmus render):\n%s", when, cmp.Diff(want, got)), "different resources"
	}
	return count, "", ""
}

// canonical sorts the keys of JSON and keeps the notation of numbers. It also returns the number of
// fields.
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

// minimize leaves out features, then services, while a difference of the same kind remains.
func (c comparison) minimize(ctx context.Context, t *testing.T, spec parity.Spec, kind string) parity.Spec {
	t.Helper()
	fails := func(spec parity.Spec) bool {
		if ctx.Err() != nil {
			return false
		}
		if err := os.RemoveAll(c.cache); err != nil {
			t.Fatal(err)
		}
		return c.run(ctx, t, spec).kind == kind
	}
	repo, err := parity.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	spec.Without = append(spec.Without, removable(slices.Sorted(maps.Keys(repo.Features)), func(list []string) bool {
		less := spec
		less.Without = slices.Concat(spec.Without, list)
		return fails(less)
	})...)
	spec.WithoutServices = append(spec.WithoutServices, removable(repo.Services, func(list []string) bool {
		less := spec
		less.WithoutServices = slices.Concat(spec.WithoutServices, list)
		return fails(less)
	})...)
	return spec
}

// removable is as much of a list as can be left out while the comparison fails. It tries halves,
// then quarters and so on.
func removable(list []string, fails func(dropped []string) bool) []string {
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

// describe writes a repository to folders that are not deleted, before and after the change. It
// returns a text with the files.
func describe(t *testing.T, spec parity.Spec) string {
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
		for _, name := range slices.Sorted(maps.Keys(repo.Files)) {
			if before[name] != repo.Files[name] && !strings.HasPrefix(name, "cue.mod/pkg/isthmus.dev/") {
				fmt.Fprintf(&b, "-- %s --\n%s", name, repo.Files[name])
			}
		}
		before = repo.Files
	}
	return b.String()
}
