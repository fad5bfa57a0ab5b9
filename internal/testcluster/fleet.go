package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Options of [Start].
type Options struct {
	// Clusters are the names of the clusters. Each must be valid as a prefix of etcd keys and as a
	// file name, such as "use1-a". Default: one cluster, "test".
	Clusters []string
	// CRDs are installed in every cluster.
	CRDs []*apiextensionsv1.CustomResourceDefinition
}

// Fleet is a set of running clusters. It must be stopped.
type Fleet struct {
	// Clusters are in the order of the options.
	Clusters []*Cluster
	// Etcd is the store of all clusters. One for all saves 40 MB and a second for each cluster.
	Etcd *Server

	// folder holds data, keys and logs.
	folder string
}

// Start starts all clusters and returns when each is ready and serves its CRDs. After an error
// nothing is left running.
func Start(ctx context.Context, options Options) (fleet *Fleet, err error) {
	assets, err := Assets(ctx)
	if err != nil {
		return nil, err
	}
	names := options.Clusters
	if len(names) == 0 {
		names = []string{"test"}
	}
	f := &Fleet{Clusters: make([]*Cluster, len(names))}
	if f.folder, err = os.MkdirTemp("", "isthmus-clusters-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Stop())
		}
	}()
	etcd, url, err := startEtcd(ctx, assets, f.folder)
	if err != nil {
		return nil, err
	}
	f.Etcd = etcd
	group, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		group.Go(func() error {
			cluster, err := startCluster(ctx, name, assets, f.folder, url)
			if err != nil {
				return err
			}
			f.Clusters[i] = cluster
			return cluster.Install(ctx, options.CRDs)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return f, nil
}

// Stop kills all processes and removes their data. It may be called again.
func (f *Fleet) Stop() error {
	var errs []error
	for _, cluster := range f.Clusters {
		if cluster == nil { // it did not start
			continue
		}
		if err := cluster.Server.Kill(); err != nil {
			errs = append(errs, fmt.Errorf("cluster %s: %w", cluster.Name, err))
		}
	}
	if f.Etcd != nil {
		errs = append(errs, f.Etcd.Kill())
	}
	return errors.Join(append(errs, os.RemoveAll(f.folder))...)
}
