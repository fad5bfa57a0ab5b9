package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

func TestABrokenServiceIsKeptAndAllOthersGoOnAlsoAfterARestart(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	before := w.versions()

	bad := w.Git.Edit("services/web.cue", "egress: {", "egres: {")
	ms := w.refuses("mesh", v1alpha1.ReasonServicesFrozen, bad)
	if diff := cmp.Diff([]v1alpha1.FrozenService{{Service: "web", Revision: "main@sha1:" + w.Git.First}}, ms.Status.Frozen); diff != "" {
		t.Errorf("frozen: -want, +got:\n%s", diff)
	}
	if len(ms.Status.Errors) == 0 || ms.Status.Errors[0].File != "services/web.cue" || !strings.Contains(ms.Status.Errors[0].Path+ms.Status.Errors[0].Message, "egres") {
		t.Errorf("the status says what is wrong, and where: %s", describe(ms))
	}
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("what is broken changed the cluster: -before, +after:\n%s", diff)
	}

	// A new process finds the good manifest again, and others are changed.
	c.stop()
	w.start()
	next := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	ms = w.refuses("mesh", v1alpha1.ReasonServicesFrozen, next)
	if len(ms.Status.Frozen) != 1 || ms.Status.Frozen[0].Revision != "main@sha1:"+w.Git.First {
		t.Errorf("it is kept at the commit that it was good in: %s", describe(ms))
	}
	after := w.versions()
	if len(after) != len(before) {
		t.Errorf("objects came or went: %v", cmp.Diff(before, after))
	}
	if cmp.Equal(before, after) {
		t.Error("the other service was not changed")
	}

	ms = w.ready("mesh", w.Git.Edit("services/web.cue", "egres: {", "egress: {"))
	if len(ms.Status.Frozen) > 0 || ms.Status.FrozenCount > 0 || len(ms.Status.Errors) > 0 {
		t.Errorf("a mended service is as any other: %s", describe(ms))
	}
}

func TestWhereTheGoodCommitIsGoneFromGitNothingIsTakenAwayAndTheRestGoesOn(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	before := w.versions()
	c.stop()

	// The history is made anew while the controller is down, with a slip in it.
	w.Git.Run(w.Git.Clone, "checkout", "-q", "--orphan", "anew")
	w.Git.Run(w.Git.Clone, "branch", "-q", "-D", "main")
	w.Git.Run(w.Git.Clone, "branch", "-q", "-m", "main")
	w.Git.Edit("services/web.cue", "egress: {", "egres: {")
	bare := w.Git.Bare()
	w.Git.Run(bare, "reflog", "expire", "--expire=now", "--all")
	w.Git.Run(bare, "gc", "-q", "--prune=now")
	bad := w.Git.Commit(map[string]string{"services/orders.cue": `package config

services: orders: {
	owner: "orders"
	ports: http: {port: 80, protocol: "HTTP"}
	backend: {namespace: "orders", selector: app: "orders", serviceAccounts: ["orders"]}
	placement: {east: {}, west: {}}
	egress: cart: {}
}
`})

	w.start()
	ms := w.refuses("mesh", v1alpha1.ReasonServicesFrozen, bad)
	if said := message(ms); !strings.Contains(said, "Nothing is deleted or narrowed meanwhile") || !strings.Contains(said, "web") {
		t.Errorf("the message says what is not done, and why: %s", describe(ms))
	}
	if ms.Status.LastKnownGoodRevision != "main@sha1:"+w.Git.First {
		t.Errorf("the status forgot the commit that was good: %s", describe(ms))
	}
	after := w.versions()
	for key, version := range before {
		if after[key] == "" {
			t.Errorf("%s was taken away", key)
		}
		if strings.Contains(key, "/web/") && after[key] != version {
			t.Errorf("%s of the broken service was written", key)
		}
	}
	if len(after) <= len(before) {
		t.Error("the new service was not applied")
	}

	good := w.Git.Edit("services/web.cue", "egres: {", "egress: {")
	ms = w.ready("mesh", good)
	if ms.Status.LastKnownGoodRevision != "main@sha1:"+good {
		t.Errorf("from now on this commit is known to be good: %s", describe(ms))
	}
}
