package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

func TestBrokenServiceIsFrozenAndOthersAreAppliedAlsoAfterARestart(t *testing.T) {
	env := newEnvironment(t)
	c := env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	before := env.versions()

	bad := env.Git.Edit("services/web.cue", "egress: {", "egres: {")
	ms := env.notReadyAt("mesh", v1alpha1.ReasonServicesFrozen, bad)
	if diff := cmp.Diff([]v1alpha1.FrozenService{{Service: "web", Revision: "main@sha1:" + env.Git.First}}, ms.Status.Frozen); diff != "" {
		t.Errorf("frozen: -want, +got:\n%s", diff)
	}
	if len(ms.Status.Errors) == 0 || ms.Status.Errors[0].File != "services/web.cue" || !strings.Contains(ms.Status.Errors[0].Path+ms.Status.Errors[0].Message, "egres") {
		t.Errorf("the status names the error and its file: %s", describe(ms))
	}
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("a broken service changed the cluster: -before, +after:\n%s", diff)
	}

	// A new process finds the last known good manifest again, and another service changes.
	c.stop()
	env.start()
	next := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	ms = env.notReadyAt("mesh", v1alpha1.ReasonServicesFrozen, next)
	if len(ms.Status.Frozen) != 1 || ms.Status.Frozen[0].Revision != "main@sha1:"+env.Git.First {
		t.Errorf("the service is frozen at its last known good commit: %s", describe(ms))
	}
	after := env.versions()
	if len(after) != len(before) {
		t.Errorf("objects were created or deleted: %v", cmp.Diff(before, after))
	}
	if cmp.Equal(before, after) {
		t.Error("the other service was not updated")
	}

	ms = env.ready("mesh", env.Git.Edit("services/web.cue", "egres: {", "egress: {"))
	if len(ms.Status.Frozen) > 0 || ms.Status.FrozenCount > 0 || len(ms.Status.Errors) > 0 {
		t.Errorf("a repaired service is no longer frozen: %s", describe(ms))
	}
}

func TestNothingIsDeletedWhenTheLastKnownGoodCommitIsGoneFromGit(t *testing.T) {
	env := newEnvironment(t)
	c := env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	before := env.versions()
	c.stop()

	// The history is replaced while the controller is down. The new commit has an error.
	env.Git.Run(env.Git.Clone, "checkout", "-q", "--orphan", "anew")
	env.Git.Run(env.Git.Clone, "branch", "-q", "-D", "main")
	env.Git.Run(env.Git.Clone, "branch", "-q", "-m", "main")
	env.Git.Edit("services/web.cue", "egress: {", "egres: {")
	bare := env.Git.Bare()
	env.Git.Run(bare, "reflog", "expire", "--expire=now", "--all")
	env.Git.Run(bare, "gc", "-q", "--prune=now")
	bad := env.Git.Commit(map[string]string{"services/orders.cue": `package config

services: orders: {
	owner: "orders"
	ports: http: {port: 80, protocol: "HTTP"}
	backend: {namespace: "orders", selector: app: "orders", serviceAccounts: ["orders"]}
	placement: {east: {}, west: {}}
	egress: cart: {}
}
`})

	env.start()
	ms := env.notReadyAt("mesh", v1alpha1.ReasonServicesFrozen, bad)
	if said := message(ms); !strings.Contains(said, "nothing is deleted or narrowed") || !strings.Contains(said, "web") {
		t.Errorf("the message says what is not done and why: %s", describe(ms))
	}
	if ms.Status.LastKnownGoodRevision != "main@sha1:"+env.Git.First {
		t.Errorf("the status no longer names the last known good revision: %s", describe(ms))
	}
	after := env.versions()
	for key, version := range before {
		if after[key] == "" {
			t.Errorf("%s was deleted", key)
		}
		if strings.Contains(key, "/web/") && after[key] != version {
			t.Errorf("%s of the broken service was written", key)
		}
	}
	if len(after) <= len(before) {
		t.Error("the new service was not applied")
	}

	good := env.Git.Edit("services/web.cue", "egres: {", "egress: {")
	ms = env.ready("mesh", good)
	if ms.Status.LastKnownGoodRevision != "main@sha1:"+good {
		t.Errorf("this commit is the new last known good revision: %s", describe(ms))
	}
}
