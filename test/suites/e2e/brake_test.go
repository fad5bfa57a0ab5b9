package e2e_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestALossIsHeldUntilItIsAcknowledged(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   string
		// start makes the state that is lost, lose the commit that loses it.
		start, lose func(git *gitops.Repository) string
	}{
		"MassDeletion": {
			reason: "more than a fifth and at least ten objects",
			kind:   "MassDeletion",
			start:  func(git *gitops.Repository) string { return git.Commit(many(12)) },
			lose:   func(git *gitops.Repository) string { return git.Commit(without(many(12))) },
		},
		"EmptyBundle": {
			reason: "nothing at all is left for this cluster, however few it had",
			kind:   "EmptyBundle",
			start:  func(git *gitops.Repository) string { return git.First },
			lose: func(git *gitops.Repository) string {
				files := map[string]string{}
				for _, name := range []string{"cart", "stock", "web"} {
					files["services/"+name+".cue"] = gitops.Service{Name: name, In: []string{west}}.String()
				}
				return git.Commit(files)
			},
		},
		"LastEndpoint": {
			reason: "a declared call would reach nobody",
			kind:   "LastEndpoint",
			start:  func(git *gitops.Repository) string { return git.First },
			lose: func(git *gitops.Repository) string {
				return git.Edit("services/stock.cue", "placement: west: {}", "placement: {}")
			},
		},
	}
	ways := map[string]func(w *world, digest, commit string) string{
		"OnTheMeshSync": func(w *world, digest, commit string) string {
			w.Change("mesh", func(ms *v1alpha1.MeshSync) {
				metav1.SetMetaDataAnnotation(&ms.ObjectMeta, "isthmus.dev/acknowledge", digest)
			})
			return commit
		},
		"InGit": func(w *world, digest, _ string) string {
			return w.Git.Commit(map[string]string{"acknowledge.cue": "package config\n\nsettings: acknowledge: [\"" + digest + "\"]\n"})
		},
	}
	for name, tc := range cases {
		for way, acknowledge := range ways {
			t.Run(name+way, func(t *testing.T) {
				w := newWorld(t)
				had := tc.start(w.Git)
				w.start()
				w.Create("mesh")
				w.ready("mesh", had)
				before := w.versions()

				lost := tc.lose(w.Git)
				ms := w.refuses("mesh", tc.kind, lost)
				held := ms.Status.Held
				if !stalled(ms) || held == nil || held.Kind != tc.kind || !strings.HasSuffix(held.Revision, lost) || held.Digest == "" {
					t.Fatalf("%s: the change set is held: %s", tc.reason, describe(ms))
				}
				if !strings.Contains(message(ms), "isthmus.dev/acknowledge="+held.Digest) {
					t.Errorf("the message says how to let it pass: %s", message(ms))
				}
				w.Polled(3)
				if diff := cmp.Diff(before, w.versions()); diff != "" {
					t.Errorf("a held change set changed the cluster: -before, +after:\n%s", diff)
				}
				// Meanwhile somebody's edit is undone, towards what was there.
				drift := spoilt["FieldChanged"]
				drift.spoil(w, w.Objects()[drift.key])
				w.restored(had)

				ms = w.ready("mesh", acknowledge(w, held.Digest, lost))
				if ms.Status.Held != nil || stalled(ms) {
					t.Errorf("after it passed nothing is held: %s", describe(ms))
				}
			})
		}
	}
}

func TestAnAcknowledgementLetsNothingElsePass(t *testing.T) {
	w := newWorld(t)
	all := many(24)
	had := w.Git.Commit(all)
	w.start()
	w.Create("mesh")
	w.ready("mesh", had)
	half := maps.Clone(many(12))
	delete(half, "services/hub.cue")
	hub := gitops.Service{Name: "hub", In: []string{east}}
	for name := range all {
		if _, goes := half[name]; !goes && name != "services/hub.cue" {
			hub.Egress = append(hub.Egress, strings.TrimSuffix(strings.TrimPrefix(name, "services/"), ".cue"))
		}
	}
	change := without(half)
	change["services/hub.cue"] = hub.String()
	first := w.Git.Commit(change)
	digest := w.refuses("mesh", "MassDeletion", first).Status.Held.Digest
	before := w.versions()
	more := w.Git.Commit(without(others(all, half)))
	// Seen before the old loss is acknowledged, which would else be carried out, as it should.
	w.refuses("mesh", "MassDeletion", more)
	w.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, "isthmus.dev/acknowledge", digest)
	})
	w.Polled(3)
	if ms := w.refuses("mesh", "MassDeletion", more); ms.Status.Held.Digest == digest {
		t.Errorf("another loss has another digest: %s", describe(ms))
	}
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("the acknowledgement of one loss let another pass: -before, +after:\n%s", diff)
	}
}

// others are the files of all that are not in some.
func others(all, some map[string]string) map[string]string {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(name, _ string) bool { _, in := some[name]; return in })
	return out
}

func TestAPruneLimitOfTheMeshSyncIsHeeded(t *testing.T) {
	w := newWorld(t)
	had := w.Git.Commit(many(12))
	w.start()
	all := int32(100)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Prune.MaxPercent = &all })
	w.ready("mesh", had)
	w.ready("mesh", w.Git.Commit(without(many(12))))
}
