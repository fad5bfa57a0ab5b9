package e2e_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestInvalidRepositoryIsReportedAndChangesNothing(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(git *gitops.Repository)
		want   string
		file   string
		text   []string
	}{
		"Symlink": {
			reason: "a link may point outside of the repository",
			change: func(git *gitops.Repository) {
				must(git.T, os.Symlink("/etc/passwd", filepath.Join(git.Clone, "services", "passwd.cue")))
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/passwd.cue", text: []string{"symbolic link", "/etc/passwd"},
		},
		"Submodule": {
			reason: "the content of a submodule is not in the commit",
			change: func(git *gitops.Repository) {
				sub := filepath.Join(git.Clone, "lib")
				git.Run("", "init", "-q", sub)
				git.Write("lib/x.cue", "package x\n")
				git.Run(sub, "add", "-A")
				git.Run(sub, "commit", "-q", "-m", "x")
			},
			want: v1alpha1.ReasonInvalidContent, file: "lib", text: []string{"submodule"},
		},
		"FileOf50MB": {
			reason: "a dump was committed",
			change: func(git *gitops.Repository) {
				dump := make([]byte, 50_000_000)
				_, _ = rand.NewChaCha8([32]byte{1}).Read(dump)
				git.Write("services/dump.sql", string(dump))
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/dump.sql", text: []string{"47.7 MiB", "limit"},
		},
		"NotUTF8": {
			reason: "saved in Latin-1",
			change: func(git *gitops.Repository) { git.Write("services/latin.cue", "package config\n// caf\xe9\n") },
			want:   v1alpha1.ReasonInvalidContent, file: "services/latin.cue", text: []string{"not UTF-8", "services/latin.cue:2"},
		},
		"FileOfAnotherPackage": {
			reason: "CUE itself would ignore the file and so drop the service",
			change: func(git *gitops.Repository) {
				git.Write("services/cart.cue", "package confg\n\nservices: cart: owner: \"storefront\"\n")
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/cart.cue", text: []string{"package confg", "package config", "services/cart.cue:1"},
		},
		"NoModule": {
			reason: "a CUE module needs cue.mod",
			change: func(git *gitops.Repository) { git.Write("cue.mod", "") },
			want:   v1alpha1.ReasonInvalidContent, file: "cue.mod/module.cue", text: []string{"missing"},
		},
		"TwoPackages": {
			reason: "the package of the mesh is ambiguous",
			change: func(git *gitops.Repository) { git.Write("other.cue", "package other\n\nx: 1\n") },
			want:   v1alpha1.ReasonInvalidContent, text: []string{"2 packages", "config", "other"},
		},
		"EmptyTree": {
			reason: "all files were deleted by mistake",
			change: (*gitops.Repository).Clear,
			want:   v1alpha1.ReasonContentRefused, text: []string{"no files", "isthmus init"},
		},
		"NewerLanguage": {
			reason: "the module needs a newer CUE than that of the controller",
			change: func(git *gitops.Repository) {
				git.Write("cue.mod/module.cue", "module: \"example.com/quickstart\"\nlanguage: version: \"v0.99.0\"\n")
			},
			want: v1alpha1.ReasonInvalidContent, file: "cue.mod/module.cue", text: []string{"v0.99.0", "upgrade"},
		},
		"NoSuchField": {
			reason: "a misspelt field",
			change: func(git *gitops.Repository) {
				git.Write("services/web.cue", strings.Replace(gitops.Service{Name: "web", In: []string{east}}.String(), "egress:", "egres:", 1))
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/web.cue", text: []string{"egres", "services/web.cue:8"},
		},
		"NotCUE": {
			reason: "a merge conflict that was committed",
			change: func(git *gitops.Repository) {
				git.Write("services/web.cue", "package config\n\n<<<<<<< HEAD\nservices: web: owner: \"a\"\n=======\n")
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/web.cue", text: []string{"services/web.cue:5"},
		},
	}
	env := newEnvironment(t)
	env.start()
	env.Create("mesh", haltOnError)
	env.ready("mesh", env.Git.First)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			here := &environment{gitops.NewEnv(t, env.Cluster, env.Git)}
			env.Git.T = t
			defer func() { env.Git.T = env.T }()
			before, applied := here.versions(), here.Get("mesh").Status.LastAppliedRevision
			tc.change(env.Git)
			bad := env.Git.Commit(nil)
			ms := here.notReadyAt("mesh", tc.want, bad)
			if !stalled(ms) {
				t.Errorf("%s: a user has to act: %s", tc.reason, describe(ms))
			}
			if want := "main@sha1:" + bad; ms.Status.LastAttemptedRevision != want {
				t.Errorf("%s: the last attempted revision is %s, want %s", tc.reason, ms.Status.LastAttemptedRevision, want)
			}
			for _, text := range tc.text {
				if !strings.Contains(message(ms), text) {
					t.Errorf("%s: the message lacks %q: %s", tc.reason, text, message(ms))
				}
			}
			if len(ms.Status.Errors) == 0 || tc.file != "" && ms.Status.Errors[0].File != tc.file {
				t.Errorf("%s: the status names %q first: %s", tc.reason, tc.file, describe(ms))
			}
			for _, entry := range ms.Status.History {
				if entry.Metadata["revision"] == applied && entry.LastReconciledStatus == tc.want {
					t.Errorf("%s: the history reports the error for the good commit before: %s", tc.reason, describe(ms))
				}
			}
			here.Polled(3)
			if diff := cmp.Diff(before, here.versions()); diff != "" {
				t.Errorf("%s: the cluster was changed: -before, +after:\n%s", tc.reason, diff)
			}
			drift := manualEdits["FieldChanged"]
			drift.apply(here, here.Objects()[drift.key])
			here.restored(env.Git.First)
			if now := here.Get("mesh").Status.LastAppliedRevision; now != applied {
				t.Errorf("%s: the last applied revision was %s and is %s", tc.reason, applied, now)
			}
			ms = here.ready("mesh", env.Git.Restore(env.Git.First))
			if len(ms.Status.Errors) > 0 || stalled(ms) {
				t.Errorf("%s: a good commit clears the errors: %s", tc.reason, describe(ms))
			}
		})
	}
}
