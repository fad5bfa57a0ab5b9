package e2e_test

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// shortLease expires soon, but not on a busy machine that renews it late.
var shortLease = []string{"--leader-election-lease-duration=8s", "--leader-election-renew-deadline=6s", "--leader-election-retry-period=500ms"}

func (env *environment) leaseHolder() string {
	env.T.Helper()
	lease := &coordinationv1.Lease{}
	err := env.Admin.Get(env.T.Context(), client.ObjectKey{Namespace: namespace, Name: "isthmus-controller-leader-election"}, lease)
	must(env.T, client.IgnoreNotFound(err))
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func TestOnlyTheLeaderWritesAndTheStandbyTakesOver(t *testing.T) {
	env := newEnvironment(t)
	leader := env.start(shortLease...)
	env.Until("the first controller has the lease", func() (bool, string) { return env.leaseHolder() != "", "" })
	holder := env.leaseHolder()
	standby := env.start(shortLease...)
	env.Until("the second controller watches", func() (bool, string) {
		return len(standby.recorder.requests(func(r request) bool { return r.Watches() && r.Istio() })) >= 9, ""
	})
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	manualEdits["FieldChanged"].apply(env, env.Objects()[manualEdits["FieldChanged"].key])
	env.restored(env.Git.First)
	if sent := standby.recorder.requests(func(r request) bool { return r.Writes() || r.Event() }); len(sent) > 0 {
		t.Errorf("the controller without the lease sent %q", sent)
	}
	if env.leaseHolder() != holder {
		t.Fatal("the lease moved without a failure, so this test proves nothing; the machine may be too busy")
	}

	leader.kill()
	commit := env.Git.Edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090")
	env.ready("mesh", commit)
	if env.leaseHolder() == holder || len(standby.recorder.requests(request.Writes)) == 0 {
		t.Error("the second controller did not take over")
	}

	// A stopped controller releases the lease, so the next one does not wait for its expiry.
	third := env.start(shortLease...)
	env.Until("the third controller watches", func() (bool, string) {
		return len(third.recorder.requests(func(r request) bool { return r.Watches() && r.Istio() })) >= 9, ""
	})
	standby.stop()
	env.ready("mesh", env.Git.Edit("services/cart.cue", "targetPort: 9090", "targetPort: 7070"))
	if len(third.recorder.requests(request.Writes)) == 0 {
		t.Error("the third controller did not take over")
	}
}
