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

func TestARepositoryThatCannotBeAMeshIsRefusedClearlyAndNothingIsLost(t *testing.T) {
	cases := map[string]struct {
		reason string
		spoil  func(git *gitops.Repository)
		want   string
		file   string
		text   []string
	}{
		"Symlink": {
			reason: "a link could lead out of the repository",
			spoil: func(git *gitops.Repository) {
				must(git.T, os.Symlink("/etc/passwd", filepath.Join(git.Clone, "services", "passwd.cue")))
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/passwd.cue", text: []string{"symbolic link", "/etc/passwd"},
		},
		"Submodule": {
			reason: "its content is not in the commit",
			spoil: func(git *gitops.Repository) {
				sub := filepath.Join(git.Clone, "lib")
				git.Run("", "init", "-q", sub)
				git.Write("lib/x.cue", "package x\n")
				git.Run(sub, "add", "-A")
				git.Run(sub, "commit", "-q", "-m", "x")
			},
			want: v1alpha1.ReasonInvalidContent, file: "lib", text: []string{"submodule"},
		},
		"FileOf50MB": {
			reason: "somebody committed a dump",
			spoil: func(git *gitops.Repository) {
				dump := make([]byte, 50_000_000)
				_, _ = rand.NewChaCha8([32]byte{1}).Read(dump)
				git.Write("services/dump.sql", string(dump))
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/dump.sql", text: []string{"47.7 MiB", "limit"},
		},
		"NotUTF8": {
			reason: "saved in Latin-1",
			spoil:  func(git *gitops.Repository) { git.Write("services/latin.cue", "package config\n// caf\xe9\n") },
			want:   v1alpha1.ReasonInvalidContent, file: "services/latin.cue", text: []string{"not UTF-8", "services/latin.cue:2"},
		},
		"FileOfAnotherPackage": {
			reason: "CUE itself would leave it out in silence, and the service with it",
			spoil: func(git *gitops.Repository) {
				git.Write("services/cart.cue", "package confg\n\nservices: cart: owner: \"storefront\"\n")
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/cart.cue", text: []string{"package confg", "package config", "services/cart.cue:1"},
		},
		"NoModule": {
			reason: "without cue.mod it is no CUE module",
			spoil:  func(git *gitops.Repository) { git.Write("cue.mod", "") },
			want:   v1alpha1.ReasonInvalidContent, file: "cue.mod/module.cue", text: []string{"missing"},
		},
		"TwoPackages": {
			reason: "which of them would be the mesh?",
			spoil:  func(git *gitops.Repository) { git.Write("other.cue", "package other\n\nx: 1\n") },
			want:   v1alpha1.ReasonInvalidContent, text: []string{"2 packages", "config", "other"},
		},
		"EmptyTree": {
			reason: "everything was deleted, by mistake",
			spoil:  (*gitops.Repository).Clear,
			want:   v1alpha1.ReasonContentRefused, text: []string{"no files", "isthmus init"},
		},
		"NewerLanguage": {
			reason: "made by a newer cue command than this controller holds",
			spoil: func(git *gitops.Repository) {
				git.Write("cue.mod/module.cue", "module: \"example.com/quickstart\"\nlanguage: version: \"v0.99.0\"\n")
			},
			want: v1alpha1.ReasonInvalidContent, file: "cue.mod/module.cue", text: []string{"v0.99.0", "upgrade"},
		},
		"NoSuchField": {
			reason: "a misspelt field",
			spoil: func(git *gitops.Repository) {
				git.Write("services/web.cue", strings.Replace(gitops.Service{Name: "web", In: []string{east}}.String(), "egress:", "egres:", 1))
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/web.cue", text: []string{"egres", "services/web.cue:8"},
		},
		"NotCUE": {
			reason: "a merge conflict that was committed",
			spoil: func(git *gitops.Repository) {
				git.Write("services/web.cue", "package config\n\n<<<<<<< HEAD\nservices: web: owner: \"a\"\n=======\n")
			},
			want: v1alpha1.ReasonInvalidContent, file: "services/web.cue", text: []string{"services/web.cue:5"},
		},
	}
	w := newWorld(t)
	w.start()
	w.Create("mesh", halting)
	w.ready("mesh", w.Git.First)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			here := &world{gitops.NewWorld(t, w.Cluster, w.Git)}
			w.Git.T = t
			defer func() { w.Git.T = w.T }()
			before, applied := here.versions(), here.Get("mesh").Status.LastAppliedRevision
			tc.spoil(w.Git)
			bad := w.Git.Commit(nil)
			ms := here.refuses("mesh", tc.want, bad)
			if !stalled(ms) {
				t.Errorf("%s: a person has to act: %s", tc.reason, describe(ms))
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
					t.Errorf("%s: the history blames the good commit before: %s", tc.reason, describe(ms))
				}
			}
			here.Polled(3)
			if diff := cmp.Diff(before, here.versions()); diff != "" {
				t.Errorf("%s: the cluster was touched: -before, +after:\n%s", tc.reason, diff)
			}
			drift := spoilt["FieldChanged"]
			drift.spoil(here, here.Objects()[drift.key])
			here.restored(w.Git.First)
			if now := here.Get("mesh").Status.LastAppliedRevision; now != applied {
				t.Errorf("%s: the last applied revision was %s and is %s", tc.reason, applied, now)
			}
			ms = here.ready("mesh", w.Git.Restore(w.Git.First))
			if len(ms.Status.Errors) > 0 || stalled(ms) {
				t.Errorf("%s: a good commit ends it: %s", tc.reason, describe(ms))
			}
		})
	}
}
