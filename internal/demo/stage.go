package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/examples"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// clusterNames are those of the shop's six clusters that are started here.
var clusterNames = []string{"use1-a", "use1-b", "euw1-a"}

// demo is everything that runs.
type demo struct {
	Options
	tell       *teller
	dir        string
	fleet      *apiserver.Fleet
	repository *repository
	clusters   []*cluster
	validator  *istio.Validator
}

// startClusters starts the API servers.
func (d *demo) startClusters(ctx context.Context) error {
	own, err := apiserver.OwnCRD()
	if err != nil {
		return err
	}
	fleet, err := apiserver.Start(ctx, apiserver.Options{Clusters: clusterNames, CRDs: append(istio.CRDs(), own)})
	if err != nil {
		return fmt.Errorf("starting three API servers: %w", err)
	}
	d.fleet = fleet
	for _, server := range fleet.Clusters() {
		c, err := prepare(ctx, server, d.dir)
		if err != nil {
			return err
		}
		d.clusters = append(d.clusters, c)
	}
	return nil
}

// startGit serves the shop.
func (d *demo) startGit(ctx context.Context) error {
	shop, err := examples.Shop()
	if err != nil {
		return err
	}
	d.repository, err = serve(ctx, shop, d.dir)
	return err
}

// startControllers starts one for each cluster.
func (d *demo) startControllers(ctx context.Context) error {
	return d.each(ctx, func(ctx context.Context, c *cluster) error { return c.run(ctx, d.Controller, d.dir) })
}

// each does something for all clusters at once.
func (d *demo) each(ctx context.Context, do func(context.Context, *cluster) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range d.clusters {
		group.Go(func() error { return do(ctx, c) })
	}
	return group.Wait()
}

// stop ends and removes whatever was started, in an order in which nothing waits for something that is gone.
func (d *demo) stop() error {
	var stopping errgroup.Group
	for _, c := range d.clusters {
		if c.controller != nil {
			stopping.Go(c.controller.stop)
		}
	}
	errs := []error{stopping.Wait()}
	if d.repository != nil {
		d.repository.server.StopHTTP()
	}
	if d.fleet != nil {
		errs = append(errs, d.fleet.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// needs finds out now what would fail later.
func needs(o Options) error {
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("the demo serves a real Git repository and needs git in PATH, which has none")
	}
	if _, err := exec.LookPath(o.Controller); err != nil {
		return fmt.Errorf("there is no controller to start: %w", err)
	}
	return nil
}
