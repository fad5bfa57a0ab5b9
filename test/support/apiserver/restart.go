package apiserver

import (
	"context"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/testcluster"
)

// Restart kills the API server and starts it again after a pause, at the same address and with the
// same keys, so that connections and tokens stay valid. It returns when the server answers.
func (c *Cluster) Restart(ctx context.Context, pause time.Duration) error {
	return restart(ctx, c.Server, pause)
}

// RestartEtcd kills the etcd of all clusters and starts it again with the same data after a pause.
func (f *Fleet) RestartEtcd(ctx context.Context, pause time.Duration) error {
	return restart(ctx, f.fleet.Etcd, pause)
}

func restart(ctx context.Context, server *testcluster.Server, pause time.Duration) error {
	if err := server.Kill(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
	}
	return server.Start(ctx)
}
