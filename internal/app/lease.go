package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/isthmus-mesh/isthmus/internal/execute"
)

// Lease selects the Lease with which the controllers of a cluster elect their leader.
type Lease struct {
	Namespace, Name string
	// RenewDeadline is the timeout of the requests, as in the leader election.
	RenewDeadline time.Duration
}

// LeaderCheck fails unless this process holds the lease. The error wraps [execute.ErrNotLeading] if
// another process holds it.
type LeaderCheck func(context.Context) error

// Lock returns the lock for the leader election of this process, and a check that reads the lease from
// the API server. The check has a lock of its own: the election updates the record that its lock has
// read last, so sharing the lock would corrupt that record.
func (l Lease) Lock(config *rest.Config) (resourcelock.Interface, LeaderCheck, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, err
	}
	identity := host + "_" + string(uuid.NewUUID())
	election, err := l.newLock(config, identity)
	if err != nil {
		return nil, nil, err
	}
	reader, err := l.newLock(config, identity)
	if err != nil {
		return nil, nil, err
	}
	return election, leaderCheck(reader), nil
}

func (l Lease) newLock(config *rest.Config, identity string) (resourcelock.Interface, error) {
	return resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, l.Namespace, l.Name,
		resourcelock.ResourceLockConfig{Identity: identity}, config, l.RenewDeadline)
}

func leaderCheck(lock resourcelock.Interface) LeaderCheck {
	return func(ctx context.Context) error {
		record, _, err := lock.Get(ctx)
		if err != nil {
			return fmt.Errorf("the lease cannot be read: %w", err)
		}
		if record.HolderIdentity != lock.Identity() {
			return fmt.Errorf("%w: %s", execute.ErrNotLeading, record.HolderIdentity)
		}
		return nil
	}
}
