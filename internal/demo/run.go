package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// Options of [Run].
type Options struct {
	// Controller is the path of isthmus-controller.
	Controller string
	// Keep leaves everything running at the end until the context ends.
	Keep bool
	// Timeout of one check. Default: two minutes.
	Timeout time.Duration
	// Out receives the output. Default: it is dropped.
	Out io.Writer
}

const introduction = `Isthmus manages many isolated Istio meshes from one Git repository. The repository says which services exist, which
services they call, and in which clusters they run. A controller in each cluster keeps the Istio resources of its
cluster equal to the repository.

                            .-> controller -> Istio resources of use1-a   (us-east1)
  you -> Git repository ----+-> controller -> Istio resources of use1-b   (us-east1)
         (CUE, the shop)    '-> controller -> Istio resources of euw1-a   (europe-west1)

On this machine, the demo runs three real API servers (without pods and traffic), a real Git server with examples/shop,
and three controllers. It checks every result by reading the API servers.`

// Run runs the demo. It returns an error that names the check that failed. Everything that it
// started is stopped then.
func Run(ctx context.Context, o Options) (err error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if err := checkPrograms(ctx, o); err != nil {
		return err
	}
	validator, err := istio.NewValidator()
	if err != nil {
		return fmt.Errorf("reading the embedded CRDs of Istio: %w", err)
	}
	dir, err := os.MkdirTemp("", "isthmus-demo-")
	if err != nil {
		return err
	}
	d := &demo{Options: o, out: newPrinter(o.Out), dir: dir, validator: validator, evaluator: evaluate.New(evaluate.Limits{}, nil)}
	defer func() {
		if ctx.Err() != nil {
			d.out.line("Stopping everything.")
		}
		done := d.out.running("stopping everything")
		stopErr := d.stop()
		done()
		if stopErr != nil {
			err = errors.Join(err, fmt.Errorf("stopping everything: %w", stopErr))
		}
	}()

	start := time.Now()
	d.out.line("%s", introduction)
	if err := d.start(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"first sync", d.firstSync},
		{"1, a service moves", d.move},
		{"2, a service is removed", d.remove},
		{"3, drift is corrected", d.drift},
		{"4, a broken service is frozen", d.broken},
	} {
		if err := step.run(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("a check failed (%s): %w", step.name, err)
		}
	}
	d.out.line("\n%s %d commits, three clusters, %s in total.",
		d.out.wrap("1;32", "All checks passed."), len(d.repository.commits), seconds(time.Since(start)))
	if o.Keep {
		return d.keep(ctx)
	}
	d.out.line("Next: `isthmus demo --keep` leaves everything running to look around. `isthmus init` starts a repository of your own.")
	return nil
}

func (d *demo) start(ctx context.Context) error {
	d.out.title("Start")
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"three API servers with the CRDs of Istio and Isthmus", d.startClusters},
		{"a Git server with examples/shop", d.startGit},
		{"three controllers, each with exactly the rights of config/rbac", d.startControllers},
	} {
		start := time.Now()
		done := d.out.running(part.name)
		err := part.run(ctx)
		done()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("the demo could not start: %w", err)
		}
		d.out.line("   %s, %s", part.name, seconds(time.Since(start)))
	}
	return nil
}

func (d *demo) firstSync(ctx context.Context) error {
	d.out.title("First sync: each cluster gets a MeshSync, which names the repository")
	want, err := d.expect(ctx)
	if err != nil {
		return err
	}
	before, err := d.read(ctx)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := d.each(ctx, func(ctx context.Context, c *cluster) error { return c.follow(ctx, d.repository.url) }); err != nil {
		return err
	}
	results, err := d.converge(ctx, started, want, before)
	if err != nil {
		return err
	}
	d.printResults(results)
	return nil
}

// commit makes and publishes edits, and waits until all clusters have them.
func (d *demo) commit(ctx context.Context, message string, edits ...edit) (
	before map[string]objects, results []result, want map[string]expectation, err error,
) {
	before, err = d.read(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := d.edit(edits); err != nil {
		return nil, nil, nil, err
	}
	want, err = d.expect(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	pushed, err := d.publish(ctx, message)
	if err != nil {
		return nil, nil, nil, err
	}
	results, err = d.converge(ctx, pushed, want, before)
	if err != nil {
		return nil, nil, nil, err
	}
	d.printResults(results)
	return before, results, want, nil
}

// edit makes edits in the work tree, and prints them as a diff.
func (d *demo) edit(edits []edit) error {
	for _, e := range edits {
		if err := d.repository.apply(e); err != nil {
			return err
		}
		removed := "the whole file"
		if e.old != "" {
			removed = firstLine(e.old)
		}
		d.out.line("   %s  # %s", d.out.wrap("31", fmt.Sprintf("- %-72s", removed)), e.file)
		if e.new != "" {
			d.out.line("   %s", d.out.wrap("32", "+ "+firstLine(e.new)))
		}
	}
	return nil
}

// firstLine shortens an edit of several lines.
func firstLine(text string) string {
	first, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		first += " ... }"
	}
	return first
}
