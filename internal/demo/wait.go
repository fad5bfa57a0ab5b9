package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// pollInterval is the time between two reads of a cluster, and so the precision of the times in the
// output.
const pollInterval = 200 * time.Millisecond

// await polls until check returns no problem, and returns the time that it took. It fails after the
// timeout, or when the controller of the cluster has ended. what completes the sentence "cluster
// NAME should ...".
func (d *demo) await(
	ctx context.Context, c *cluster, what string, check func(context.Context) (problem string, err error),
) (time.Duration, error) {
	start := time.Now()
	problem := ""
	err := wait.PollUntilContextTimeout(ctx, pollInterval, d.Timeout, true, func(ctx context.Context) (bool, error) {
		if err := c.controller.Err(); err != nil {
			return false, fmt.Errorf("its controller has ended (%w)", err)
		}
		now, err := check(ctx)
		if err != nil {
			return false, err
		}
		problem = now
		return problem == "", nil
	})
	took := time.Since(start)
	switch {
	case err == nil:
		return took, nil
	case ctx.Err() != nil:
		return took, context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("it did not within %s", d.Timeout)
	}
	return took, c.explain(ctx, fmt.Sprintf("cluster %s should %s: %v", c.name, what, err), problem)
}

// explain adds the last problem, the status of the MeshSync and the end of the controller's log to
// a failure.
func (c *cluster) explain(ctx context.Context, failure, problem string) error {
	if problem != "" {
		failure += "\n  last seen: " + problem
	}
	// The context may have ended, and the MeshSync still explains the failure.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if sync, err := c.sync(ctx); err == nil {
		message := ready(sync).Message
		if message == "" {
			message = "(none: no controller has reconciled it)"
		}
		failure += "\n  message of its MeshSync: " + message
	}
	if tail := c.controller.LogTail(); tail != "" {
		failure += "\n  end of its controller's log:\n" + tail
	} else {
		failure += "\n  its controller (" + c.controller.Path() + ") wrote nothing"
	}
	return errors.New(failure)
}
