package e2e_test

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// elected are flags for a lease that is over soon, yet not so soon that a busy machine loses it.
var elected = []string{"--leader-election-lease-duration=8s", "--leader-election-renew-deadline=6s", "--leader-election-retry-period=500ms"}

func (w *world) holder() string {
	w.T.Helper()
	lease := &coordinationv1.Lease{}
	err := w.Admin.Get(w.T.Context(), client.ObjectKey{Namespace: namespace, Name: "isthmus-controller-leader-election"}, lease)
	must(w.T, client.IgnoreNotFound(err))
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func TestOfTwoControllersOneWritesAndTheOtherTakesOver(t *testing.T) {
	w := newWorld(t)
	leader := w.start(elected...)
	w.Until("the first holds the lease", func() (bool, string) { return w.holder() != "", "" })
	held := w.holder()
	standby := w.start(elected...)
	w.Until("the second watches", func() (bool, string) {
		return len(standby.wire.requests(func(r request) bool { return r.watches() && r.resources() })) >= 9, ""
	})
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	spoilt["FieldChanged"].spoil(w, w.Objects()[spoilt["FieldChanged"].key])
	w.restored(w.Git.First)
	if sent := standby.wire.requests(func(r request) bool { return r.writes() || r.event() }); len(sent) > 0 {
		t.Errorf("the one without the lease sent %q", sent)
	}
	if w.holder() != held {
		t.Fatal("the lease changed hands on its own, so this test shows nothing; the machine may be too busy")
	}

	leader.kill()
	commit := w.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	w.ready("mesh", commit)
	if w.holder() == held || len(standby.wire.requests(request.writes)) == 0 {
		t.Error("the second did not take over")
	}

	// One that is stopped gives the lease back, so that nobody waits for its end.
	third := w.start(elected...)
	w.Until("the third watches", func() (bool, string) {
		return len(third.wire.requests(func(r request) bool { return r.watches() && r.resources() })) >= 9, ""
	})
	standby.stop()
	w.ready("mesh", w.Git.Edit("services/cart.cue", "targetPort: 9090", "targetPort: 7070"))
	if len(third.wire.requests(request.writes)) == 0 {
		t.Error("the third did not take over")
	}
}
