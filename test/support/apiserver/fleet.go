package apiserver

import (
	"context"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/isthmus-mesh/isthmus/internal/testcluster"
)

// Options of [Start].
type Options = testcluster.Options

// Fleet is a set of running clusters. It must be stopped.
type Fleet struct {
	fleet    *testcluster.Fleet
	clusters []*Cluster
}

// Cluster is one API server.
type Cluster struct{ *testcluster.Cluster }

// Start starts all clusters and returns when each is ready and serves its CRDs. After an error
// nothing is left running.
func Start(ctx context.Context, options Options) (*Fleet, error) {
	fleet, err := testcluster.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	f := &Fleet{fleet: fleet}
	for _, cluster := range fleet.Clusters {
		f.clusters = append(f.clusters, &Cluster{cluster})
	}
	return f, nil
}

// Clusters are in the order of the options.
func (f *Fleet) Clusters() []*Cluster { return f.clusters }

// Cluster returns the cluster of that name, or nil.
func (f *Fleet) Cluster(name string) *Cluster {
	for _, cluster := range f.clusters {
		if cluster.Name == name {
			return cluster
		}
	}
	return nil
}

// Stop kills all processes and removes their data. It may be called again.
func (f *Fleet) Stop() error { return f.fleet.Stop() }

// Install creates or updates CRDs and waits until the API server serves them.
func (c *Cluster) Install(crds []*apiextensionsv1.CustomResourceDefinition) error {
	return c.Cluster.Install(context.Background(), crds)
}
