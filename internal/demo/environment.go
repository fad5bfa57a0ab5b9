package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/examples"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/testcluster"
)

// clusterNames are three of the six clusters in the inventory of the shop.
var clusterNames = []string{"use1-a", "use1-b", "euw1-a"}

// demo holds everything that runs.
type demo struct {
	Options
	out        *printer
	dir        string
	fleet      *testcluster.Fleet
	repository *repository
	clusters   []*cluster
	validator  *istio.Validator
	evaluator  *evaluate.Evaluator
}

func (d *demo) startClusters(ctx context.Context) error {
	crd, err := testcluster.MeshSyncCRD()
	if err != nil {
		return err
	}
	fleet, err := testcluster.Start(ctx, testcluster.Options{Clusters: clusterNames, CRDs: append(istio.CRDs(), crd)})
	if err != nil {
		return fmt.Errorf("starting three API servers: %w", err)
	}
	d.fleet = fleet
	for _, server := range fleet.Clusters {
		c, err := prepare(ctx, server, d.dir)
		if err != nil {
			return err
		}
		d.clusters = append(d.clusters, c)
	}
	return nil
}

func (d *demo) startGit(ctx context.Context) error {
	shop, err := examples.Shop()
	if err != nil {
		return err
	}
	d.repository, err = serve(ctx, shop, d.dir)
	return err
}

func (d *demo) startControllers(ctx context.Context) error {
	return d.each(ctx, func(ctx context.Context, c *cluster) error { return c.run(ctx, d.Controller, d.dir) })
}

// each calls a function for all clusters at once.
func (d *demo) each(ctx context.Context, do func(context.Context, *cluster) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range d.clusters {
		group.Go(func() error { return do(ctx, c) })
	}
	return group.Wait()
}

// stop stops and removes everything that was started. Controllers are first, so that they can
// release their leases.
func (d *demo) stop() error {
	var stopping errgroup.Group
	for _, c := range d.clusters {
		if c.controller != nil {
			stopping.Go(func() error { return c.controller.Stop(stopGrace) })
		}
	}
	errs := []error{stopping.Wait()}
	if d.repository != nil {
		errs = append(errs, d.repository.server.Stop())
	}
	if d.fleet != nil {
		errs = append(errs, d.fleet.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// checkPrograms fails early if a program is missing.
func checkPrograms(ctx context.Context, o Options) error {
	if _, err := testcluster.FindGit(ctx); err != nil {
		return err
	}
	if _, err := exec.LookPath(o.Controller); err != nil {
		return fmt.Errorf("the controller cannot be started: %w", err)
	}
	_, err := testcluster.Assets(ctx)
	return err
}
