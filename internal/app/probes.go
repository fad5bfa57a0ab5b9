package app

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// AddProbes adds /healthz, which succeeds while the process responds, and /readyz, which succeeds when
// the caches are synced. Readiness does not depend on the lease: a standby that is never ready would
// look like a failed rollout.
func AddProbes(mgr ctrl.Manager) error {
	caches := &cacheCheck{waitForSync: mgr.GetCache().WaitForCacheSync}
	return errors.Join(
		mgr.Add(caches),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("caches", caches.check),
	)
}

// cacheCheck is a runnable of the manager that records when the caches are synced.
type cacheCheck struct {
	waitForSync func(ctx context.Context) bool
	synced      atomic.Bool
}

func (c *cacheCheck) Start(ctx context.Context) error {
	c.synced.Store(c.waitForSync(ctx))
	return nil
}

func (c *cacheCheck) NeedLeaderElection() bool { return false }

func (c *cacheCheck) check(*http.Request) error {
	if !c.synced.Load() {
		return errors.New("the watch caches are not synced yet")
	}
	return nil
}
