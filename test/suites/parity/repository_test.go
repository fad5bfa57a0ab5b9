package parity_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/parity"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

func made(t *testing.T, spec parity.Spec) *parity.Repository {
	t.Helper()
	repo, err := parity.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// changed are the files that differ in two repositories.
func changed(a, b *parity.Repository) []string {
	all := maps.Clone(a.Files)
	maps.Copy(all, b.Files)
	maps.DeleteFunc(all, func(name, _ string) bool {
		x, inA := a.Files[name]
		y, inB := b.Files[name]
		return inA == inB && x == y
	})
	return slices.Sorted(maps.Keys(all))
}

func TestEqualSpecsGiveEqualRepositories(t *testing.T) {
	for seed := range uint64(100) {
		for _, changed := range []bool{false, true} {
			spec := parity.Spec{Seed: seed, Changed: changed}
			if d := cmp.Diff(made(t, spec), made(t, spec)); d != "" {
				t.Fatalf("seed %d, changed: %t:\n%s", seed, changed, d)
			}
		}
	}
}

func TestDifferentSeedsGiveDifferentRepositories(t *testing.T) {
	seen := map[string]uint64{}
	for seed := range uint64(100) {
		repo := made(t, parity.Spec{Seed: seed})
		var own strings.Builder
		for _, name := range slices.Sorted(maps.Keys(repo.Files)) {
			if !strings.HasPrefix(name, "cue.mod/") {
				own.WriteString(name + "\n" + repo.Files[name])
			}
		}
		if other, ok := seen[own.String()]; ok {
			t.Errorf("seeds %d and %d give the same repository", other, seed)
		}
		seen[own.String()] = seed
	}
}

func TestChangesAffectFewFiles(t *testing.T) {
	kinds := map[string]bool{}
	for seed := range uint64(126) {
		before, after := made(t, parity.Spec{Seed: seed}), made(t, parity.Spec{Seed: seed, Changed: true})
		kinds[after.Change] = true
		files := changed(before, after)
		switch edit := strings.HasPrefix(after.Change, "edit: ") || after.Mistake; {
		case len(files) == 0 && !strings.HasSuffix(after.Change, "of a service") && after.Change != "renamed file":
			t.Errorf("seed %d: the change has no effect: %s", seed, after.Change)
		case edit && len(files) > 2:
			t.Errorf("seed %d: %s changes the files %v", seed, after.Change, files)
		}
	}
	if len(kinds) < 37 {
		t.Errorf("only %d kinds of changes: %v", len(kinds), slices.Sorted(maps.Keys(kinds)))
	}
}

func TestRepositoryWithoutAFeatureIsOtherwiseTheSame(t *testing.T) {
	kept, all := 0, 0
	for seed := range uint64(60) {
		repo := made(t, parity.Spec{Seed: seed})
		features := slices.Sorted(maps.Keys(repo.Features))
		feature := features[int(seed)%len(features)]
		less := made(t, parity.Spec{Seed: seed, Without: []string{feature}})
		if less.Features[feature] > 0 {
			t.Errorf("seed %d has the feature %s, which must be left out", seed, feature)
		}
		if d := cmp.Diff(repo.Services, less.Services); d != "" {
			t.Errorf("seed %d without %s has other services:\n%s", seed, feature, d)
		}
		all += len(repo.Files)
		kept += len(repo.Files) - len(changed(repo, less))
	}
	if kept < all*9/10 {
		t.Errorf("only %[2]d of %[1]d files are the same without one feature", all, kept)
	}
}

func TestServicesCanBeLeftOut(t *testing.T) {
	for seed := range uint64(40) {
		repo := made(t, parity.Spec{Seed: seed})
		if len(repo.Services) < 3 {
			continue
		}
		removed := repo.Services[1]
		less := made(t, parity.Spec{Seed: seed, WithoutServices: []string{removed}})
		if slices.Contains(less.Services, removed) || len(less.Services) != len(repo.Services)-1 {
			t.Errorf("seed %d without %s has the services %v", seed, removed, less.Services)
		}
	}
}

func TestComparisonIgnoresOnlyOrderOfKeysAndEscapes(t *testing.T) {
	for _, test := range []struct {
		reason, a, b string
		equal        bool
	}{
		{"keys have no order", `{"a": {"b": 1, "c": 2}}`, `{"a":{"c":2,"b":1}}`, true},
		{"strings are compared without escapes", `{"a": "\u00e9<"}`, `{"a": "é\u003c"}`, true},
		{"numbers keep their notation", `{"a": 1E+2}`, `{"a": 100}`, false},
		{"numbers keep their digits", `{"a": 1.50}`, `{"a": 1.5}`, false},
		{"large numbers keep all digits", `{"a": 123456789012345678901}`, `{"a": 123456789012345678900}`, false},
		{"lists have an order", `{"a": [1, 2]}`, `{"a": [2, 1]}`, false},
		{"null differs from an absent field", `{"a": null}`, `{}`, false},
	} {
		a, _, err := canonical(test.a)
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := canonical(test.b)
		if err != nil {
			t.Fatal(err)
		}
		if (a == b) != test.equal {
			t.Errorf("%s: %s and %s are equal: %t", test.reason, test.a, test.b, a == b)
		}
	}
}

// The test uses a fake isthmus that renders nothing.
func TestDifferenceIsFoundAndMinimized(t *testing.T) {
	nothing := filepath.Join(t.TempDir(), "nothing")
	if err := os.WriteFile(nothing, []byte("#!/bin/sh\necho '{}'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := comparison{cue: cuecmd.Path(t), isthmus: nothing, cache: t.TempDir(), dir: filepath.Join(t.TempDir(), "mesh")}
	found, accepted := 0, 0
	for seed := uint64(1); seed < 1000 && found+accepted < 6; seed++ {
		after := made(t, parity.Spec{Seed: seed, Changed: true})
		if !after.Mistake {
			continue
		}
		v := c.run(t.Context(), t, parity.Spec{Seed: seed})
		switch {
		case v.kind == "accepts a mistake":
			accepted++ // The first clusters have no resources.
		case v.kind != "":
			found++
		case v.rejected == "":
			t.Errorf("seed %d: rendering nothing is not reported: %+v", seed, v)
		}
	}
	if found == 0 {
		t.Error("an isthmus that renders nothing is never reported")
	}
	spec := parity.Spec{Seed: 4}
	before := made(t, spec)
	less := c.minimize(t.Context(), t, spec, c.run(t.Context(), t, spec).kind)
	if after := made(t, less); len(after.Features) >= len(before.Features)/2 || len(after.Services) >= len(before.Services) {
		t.Errorf("seed 4 has %d features and %d services, %d and %d when minimized", len(before.Features), len(before.Services), len(after.Features), len(after.Services))
	}
	if v := c.run(t.Context(), t, less); v.kind != "different resources" {
		t.Errorf("the minimized repository fails differently: %+v", v)
	}
}
