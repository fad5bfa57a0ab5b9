package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"k8s.io/apimachinery/pkg/util/wait"
)

// look is the time between two looks, and so how far off a time may be that is told.
const look = 100 * time.Millisecond

// await waits until nothing is wrong any more, which is what check returns in words, and says how long it took.
// It gives up after the demo's patience, or when the cluster's controller has ended.
func (d *demo) await(ctx context.Context, c *cluster, what string, check func(context.Context) (wrong string, err error)) (time.Duration, error) {
	start := time.Now()
	wrong := ""
	err := wait.PollUntilContextTimeout(ctx, look, d.Patience, true, func(ctx context.Context) (bool, error) {
		if err := c.controller.exited(); err != nil {
			return false, fmt.Errorf("its controller has ended (%w)", err)
		}
		now, err := check(ctx)
		if err != nil {
			return false, err
		}
		wrong = now
		return wrong == "", nil
	})
	took := time.Since(start)
	switch {
	case err == nil:
		return took, nil
	case ctx.Err() != nil:
		return took, context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("it did not within %s", d.Patience)
	}
	return took, c.explain(ctx, fmt.Sprintf("cluster %s should %s: %v", c.name, what, err), wrong)
}

// explain adds to what did not hold what a person needs to find out why.
func (c *cluster) explain(ctx context.Context, failed, wrong string) error {
	if wrong != "" {
		failed += "\n  last seen: " + wrong
	}
	// The run may be out of time, and what the MeshSync says is worth a little more of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if sync, err := c.sync(ctx); err == nil {
		said := conditions.GetMessage(sync, meta.ReadyCondition)
		if said == "" {
			said = "nothing; no controller has looked at it"
		}
		failed += "\n  its MeshSync says: " + said
	}
	if tail := c.controller.tail(); tail != "" {
		failed += "\n  its controller wrote last:\n" + tail
	} else {
		failed += "\n  its controller (" + c.controller.command.Path + ") wrote nothing"
	}
	return errors.New(failed)
}
