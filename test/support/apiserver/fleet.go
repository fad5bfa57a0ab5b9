package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout is generous: on two busy cores an API server has taken 20 seconds to be ready.
const startTimeout = 2 * time.Minute

// Options say what to start.
type Options struct {
	// Clusters are the names of the clusters, each a valid etcd prefix ("use1-a"). Default: one, "test".
	Clusters []string
	// CRDs are installed in every cluster before Start returns.
	CRDs []*apiextensionsv1.CustomResourceDefinition
	// Output receives what kube-apiserver and etcd write. Default: it is dropped.
	Output io.Writer
	// Restarts lets [Cluster.Restart] and [Fleet.RestartEtcd] be used. Processes are then killed and never stopped, at the end as well.
	Restarts bool
}

// Fleet is a set of running clusters. It must be stopped.
type Fleet struct {
	clusters []*Cluster
	etcd     *envtest.Etcd
	// folder keeps what must outlast a process: etcd's data and each API server's certificates. It is empty where nothing does.
	folder string
}

// Cluster is one API server.
type Cluster struct {
	// Name is as given in the options.
	Name string
	// Config connects as administrator, unthrottled.
	Config *rest.Config

	server  *envtest.APIServer
	prepare func(cluster string) *envtest.APIServer
	// folder is the fleet's.
	folder string
}

// Start starts all clusters at once and returns when every one answers and serves its CRDs. After an error nothing is left running.
func Start(ctx context.Context, options Options) (fleet *Fleet, err error) {
	assets, err := Assets(ctx)
	if err != nil {
		return nil, err
	}
	if len(options.Clusters) == 0 {
		options.Clusters = []string{"test"}
	}

	// One etcd for all: the prefix keeps the clusters apart, and each etcd saved is 40 MB and a second.
	started := &Fleet{}
	if options.Restarts {
		if started.folder, err = os.MkdirTemp("", "isthmus-fleet-"); err != nil {
			return nil, err
		}
	}
	started.etcd = options.etcd(assets, started.folder)
	defer func() {
		if err != nil {
			err = errors.Join(err, started.Stop())
		}
	}()
	if err := started.etcd.Start(); err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}

	prepare := func(cluster string) *envtest.APIServer {
		server := &envtest.APIServer{
			Path:         filepath.Join(assets, "kube-apiserver"),
			EtcdURL:      started.etcd.URL,
			StartTimeout: startTimeout, StopTimeout: options.grace(),
			Out: options.Output, Err: options.Output,
		}
		server.Configure().Set("etcd-prefix", "/"+cluster)
		return server
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range options.Clusters {
		cluster := &Cluster{Name: name, prepare: prepare, folder: started.folder}
		started.clusters = append(started.clusters, cluster)
		group.Go(func() error {
			if err := cluster.launch(); err != nil {
				return err
			}
			return cluster.ready(ctx, options.CRDs)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return started, nil
}

// launch tries again with another port, since a free port may be taken before the server listens on it.
func (c *Cluster) launch() error {
	var errs []error
	for range 3 {
		server, err := c.withFolder(c.prepare(c.Name))
		if err != nil {
			return err
		}
		if err = server.Start(); err == nil {
			c.server = server
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("starting the API server of cluster %s: %w", c.Name, errors.Join(errs...))
}

func (c *Cluster) ready(ctx context.Context, crds []*apiextensionsv1.CustomResourceDefinition) error {
	config, err := c.connect(envtest.User{Name: "admin", Groups: []string{"system:masters"}})
	if err != nil {
		return err
	}
	c.Config = config
	if err := c.waitForDefaultNamespace(ctx); err != nil {
		return err
	}
	return c.Install(crds)
}

// Install adds CRDs and waits until the API server serves them.
func (c *Cluster) Install(crds []*apiextensionsv1.CustomResourceDefinition) error {
	if len(crds) == 0 {
		return nil
	}
	copies := make([]*apiextensionsv1.CustomResourceDefinition, len(crds))
	for i, crd := range crds {
		// The installation writes the server's answer into what it is given; other clusters use the same objects.
		copies[i] = crd.DeepCopy()
	}
	if _, err := envtest.InstallCRDs(c.Config, envtest.CRDInstallOptions{CRDs: copies, MaxTime: startTimeout}); err != nil {
		return fmt.Errorf("installing CRDs in cluster %s: %w", c.Name, err)
	}
	return nil
}

// A new API server answers before it has made its own namespaces.
func (c *Cluster) waitForDefaultNamespace(ctx context.Context) error {
	reader, err := client.New(c.Config, client.Options{})
	if err != nil {
		return fmt.Errorf("connecting to cluster %s: %w", c.Name, err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		last = reader.Get(ctx, client.ObjectKey{Name: corev1.NamespaceDefault}, &corev1.Namespace{})
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("cluster %s has no namespace default: %w", c.Name, errors.Join(err, last))
	}
	return nil
}

// Clusters are in the order of the options.
func (f *Fleet) Clusters() []*Cluster { return f.clusters }

// Cluster returns the cluster of that name, nil if there is none.
func (f *Fleet) Cluster(name string) *Cluster {
	for _, cluster := range f.clusters {
		if cluster.Name == name {
			return cluster
		}
	}
	return nil
}

// Stop ends all processes and removes their data. It may be called twice.
func (f *Fleet) Stop() error {
	errs := make([]error, len(f.clusters))
	var stopping sync.WaitGroup
	for i, cluster := range f.clusters {
		// Before etcd, or they hang in their shutdown; all at once, since each takes a second.
		if cluster.server == nil {
			continue
		}
		stopping.Go(func() {
			if err := f.stopped(cluster.server.Stop()); err != nil {
				errs[i] = fmt.Errorf("stopping the API server of cluster %s: %w", cluster.Name, err)
			}
			cluster.server = nil
		})
	}
	stopping.Wait()
	if f.etcd != nil {
		if err := f.stopped(f.etcd.Stop()); err != nil {
			errs = append(errs, fmt.Errorf("stopping etcd: %w", err))
		}
		f.etcd = nil
	}
	if f.folder != "" {
		errs = append(errs, os.RemoveAll(f.folder))
	}
	return errors.Join(errs...)
}
