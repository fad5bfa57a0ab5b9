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

func TestGuardHoldsALossUntilItIsAcknowledged(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   string
		// start commits the initial state, lose the commit that is held.
		start, lose func(git *gitops.Repository) string
	}{
		"MassDeletion": {
			reason: "more than 20 % and at least 10 objects",
			kind:   "MassDeletion",
			start:  func(git *gitops.Repository) string { return git.Commit(manyServices(12)) },
			lose:   func(git *gitops.Repository) string { return git.Commit(removalOf(manyServices(12))) },
		},
		"EmptyBundle": {
			reason: "no resource is left for this cluster",
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
			reason: "a declared call would lose its last endpoint",
			kind:   "LastEndpoint",
			start:  func(git *gitops.Repository) string { return git.First },
			lose: func(git *gitops.Repository) string {
				return git.Edit("services/stock.cue", "placement: west: {}", "placement: {}")
			},
		},
	}
	acknowledgements := map[string]func(env *environment, digest, commit string) string{
		"OnTheMeshSync": func(env *environment, digest, commit string) string {
			env.Change("mesh", func(ms *v1alpha1.MeshSync) {
				metav1.SetMetaDataAnnotation(&ms.ObjectMeta, "isthmus.dev/acknowledge", digest)
			})
			return commit
		},
		"InGit": func(env *environment, digest, _ string) string {
			return env.Git.Commit(map[string]string{"acknowledge.cue": "package config\n\nsettings: acknowledge: [\"" + digest + "\"]\n"})
		},
	}
	for name, tc := range cases {
		for way, acknowledge := range acknowledgements {
			t.Run(name+way, func(t *testing.T) {
				env := newEnvironment(t)
				had := tc.start(env.Git)
				env.start()
				env.Create("mesh")
				env.ready("mesh", had)
				before := env.versions()

				lost := tc.lose(env.Git)
				ms := env.notReadyAt("mesh", tc.kind, lost)
				held := ms.Status.Held
				if !stalled(ms) || held == nil || held.Kind != tc.kind || !strings.HasSuffix(held.Revision, lost) || held.Digest == "" {
					t.Fatalf("%s: the plan is held: %s", tc.reason, describe(ms))
				}
				if !strings.Contains(message(ms), "isthmus.dev/acknowledge="+held.Digest) {
					t.Errorf("the message says how to acknowledge: %s", message(ms))
				}
				env.Polled(3)
				if diff := cmp.Diff(before, env.versions()); diff != "" {
					t.Errorf("a held plan changed the cluster: -before, +after:\n%s", diff)
				}
				// Drift is still corrected to the last applied commit.
				drift := manualEdits["FieldChanged"]
				drift.apply(env, env.Objects()[drift.key])
				env.restored(had)

				ms = env.ready("mesh", acknowledge(env, held.Digest, lost))
				if ms.Status.Held != nil || stalled(ms) {
					t.Errorf("after the acknowledgement nothing is held: %s", describe(ms))
				}
			})
		}
	}
}

func TestAcknowledgementCoversNoOtherLoss(t *testing.T) {
	env := newEnvironment(t)
	all := manyServices(24)
	had := env.Git.Commit(all)
	env.start()
	env.Create("mesh")
	env.ready("mesh", had)
	half := maps.Clone(manyServices(12))
	delete(half, "services/hub.cue")
	hub := gitops.Service{Name: "hub", In: []string{east}}
	for name := range all {
		if _, goes := half[name]; !goes && name != "services/hub.cue" {
			hub.Egress = append(hub.Egress, strings.TrimSuffix(strings.TrimPrefix(name, "services/"), ".cue"))
		}
	}
	change := removalOf(half)
	change["services/hub.cue"] = hub.String()
	first := env.Git.Commit(change)
	digest := env.notReadyAt("mesh", "MassDeletion", first).Status.Held.Digest
	before := env.versions()
	more := env.Git.Commit(removalOf(except(all, half)))
	// The controller must see this commit before the acknowledgement, or it would apply the first
	// loss.
	env.notReadyAt("mesh", "MassDeletion", more)
	env.Change("mesh", func(ms *v1alpha1.MeshSync) {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, "isthmus.dev/acknowledge", digest)
	})
	env.Polled(3)
	if ms := env.notReadyAt("mesh", "MassDeletion", more); ms.Status.Held.Digest == digest {
		t.Errorf("the digest of another loss must differ: %s", describe(ms))
	}
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("the acknowledgement of one loss released another: -before, +after:\n%s", diff)
	}
}

// except returns the files that are not in removed.
func except(all, removed map[string]string) map[string]string {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(name, _ string) bool { _, in := removed[name]; return in })
	return out
}

func TestPruneLimitOfTheMeshSyncIsRespected(t *testing.T) {
	env := newEnvironment(t)
	had := env.Git.Commit(manyServices(12))
	env.start()
	all := int32(100)
	env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Prune.MaxPercent = &all })
	env.ready("mesh", had)
	env.ready("mesh", env.Git.Commit(removalOf(manyServices(12))))
}
