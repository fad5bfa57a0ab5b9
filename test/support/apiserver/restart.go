package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// grace is how long a process may take to end. One that shall be killed gets none: envtest has no other way to kill than a stop that runs out
// of time.
func (o Options) grace() time.Duration {
	if o.Restarts {
		return time.Nanosecond
	}
	return startTimeout
}

// withFolder gives an API server a folder for its certificates that outlasts it, if it shall be started again: a new one each time, since a server
// that finds certificates takes them for its own.
func (c *Cluster) withFolder(server *envtest.APIServer) (*envtest.APIServer, error) {
	if c.folder == "" {
		return server, nil
	}
	var err error
	server.CertDir, err = os.MkdirTemp(c.folder, c.Name+"-")
	return server, err
}

func (o Options) etcd(assets, folder string) *envtest.Etcd {
	etcd := &envtest.Etcd{
		Path:         filepath.Join(assets, "etcd"),
		StartTimeout: startTimeout, StopTimeout: o.grace(),
		Out: o.Output, Err: o.Output,
	}
	if o.Restarts {
		etcd.DataDir = filepath.Join(folder, "etcd")
	}
	return etcd
}

// stopped is the error of a stop, but for the one that says that a process was killed which should be.
func (f *Fleet) stopped(err error) error {
	if errors.Is(err, os.ErrProcessDone) || f.folder != "" {
		return nil
	}
	return err
}

// Restart kills the API server, lets the cluster be without one for a while, and starts it again: at the same address and with the same
// certificates and keys, so that every connection and token is as good as before. It returns when the server answers.
func (c *Cluster) Restart(ctx context.Context, pause time.Duration) error {
	old := c.server
	// It says that the process took too long to end, as it was meant to.
	_ = old.Stop()
	address := old.SecureServing.URL("https", "").Host
	if err := free(ctx, address); err != nil {
		return fmt.Errorf("the killed API server of cluster %s: %w", c.Name, err)
	}
	time.Sleep(pause) //nolint:forbidigo // the time without a server is what is asked for
	server := c.prepare(c.Name)
	server.CertDir, server.SecureServing = old.CertDir, old.SecureServing
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting the API server of cluster %s again: %w", c.Name, err)
	}
	c.server = server
	return nil
}

// RestartEtcd kills the etcd of all clusters and starts it again with the same data after a while.
func (f *Fleet) RestartEtcd(ctx context.Context, pause time.Duration) error {
	old := f.etcd
	_ = old.Stop()
	if err := free(ctx, old.URL.Host); err != nil {
		return fmt.Errorf("the killed etcd: %w", err)
	}
	time.Sleep(pause) //nolint:forbidigo // the time without a server is what is asked for
	address := url.URL{Scheme: old.URL.Scheme, Host: old.URL.Host}
	again := &envtest.Etcd{
		Path: old.Path, DataDir: old.DataDir, URL: &address,
		StartTimeout: startTimeout, StopTimeout: time.Nanosecond, Out: old.Out, Err: old.Err,
	}
	if err := again.Start(); err != nil {
		return fmt.Errorf("starting etcd again: %w", err)
	}
	f.etcd = again
	return nil
}

// free waits until nobody listens at an address.
func free(ctx context.Context, address string) error {
	var dialer net.Dialer
	err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		connection, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return true, nil
		}
		return false, connection.Close()
	})
	if err != nil {
		return fmt.Errorf("something still listens at %s: %w", address, err)
	}
	return nil
}
