package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// Options say how the story is told.
type Options struct {
	// Controller is the path of isthmus-controller.
	Controller string
	// Keep leaves everything running at the end until the context ends.
	Keep bool
	// Patience is how long one thing may take to come true. Default: two minutes.
	Patience time.Duration
	// Out gets the story. Default: nobody.
	Out io.Writer
}

const prologue = `Isthmus keeps many isolated Istio meshes in step. One Git repository says which services there are, whom they
call and where they run; a controller in each cluster keeps that cluster's Istio resources equal to it.

                            .-> controller -> Istio resources of use1-a   gold,   us-east1
  you -> Git repository ----+-> controller -> Istio resources of use1-b   silver, us-east1
         (CUE, the shop)    '-> controller -> Istio resources of euw1-a   gold,   europe-west1

On this machine: three real API servers (no pods and no traffic, only the API), a real Git server with
examples/shop, and three controllers. What is said to have held was read from the API servers.`

// Run tells the whole story, and returns an error that names what did not hold. Nothing that it started is left then.
func Run(ctx context.Context, o Options) (err error) {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if err := needs(o); err != nil {
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
	d := &demo{Options: o, tell: newTeller(o.Out), dir: dir, validator: validator}
	defer func() {
		if ctx.Err() != nil {
			d.tell.line("Stopping everything.")
		}
		done := d.tell.doing("stopping everything")
		stopped := d.stop()
		done()
		if stopped != nil {
			err = errors.Join(err, fmt.Errorf("stopping everything: %w", stopped))
		}
	}()

	start := time.Now()
	d.tell.line("%s", prologue)
	if err := d.start(ctx); err != nil {
		return err
	}
	for _, chapter := range []struct {
		name string
		tell func(context.Context) error
	}{
		{"first sync", d.firstSync},
		{"1, a service moves", d.move},
		{"2, a service is removed", d.remove},
		{"3, edits by hand are undone", d.drift},
		{"4, a broken service is frozen", d.broken},
	} {
		if err := chapter.tell(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("this did not hold (%s): %w", chapter.name, err)
		}
	}
	d.tell.line("\n%s %d commits, three clusters, %s in all.", d.tell.wrap("1;32", "All of it held."), len(d.repository.commits), seconds(time.Since(start)))
	if o.Keep {
		return d.keep(ctx)
	}
	return nil
}

func (d *demo) start(ctx context.Context) error {
	d.tell.title("Start")
	for _, part := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"three API servers with Istio's CRDs and MeshSync", d.startClusters},
		{"Git server with examples/shop", d.startGit},
		{"three controllers, each with a kubeconfig that has the rights of config/rbac and no others", d.startControllers},
	} {
		start := time.Now()
		done := d.tell.doing(part.what)
		err := part.do(ctx)
		done()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("the demo could not start: %w", err)
		}
		d.tell.line("   %s, %s", part.what, seconds(time.Since(start)))
	}
	return nil
}

func (d *demo) firstSync(ctx context.Context) error {
	d.tell.title("First sync: each cluster gets a MeshSync that names the repository")
	want, err := expect(ctx, d.repository.dir, d.validator, d.clusters)
	if err != nil {
		return err
	}
	before, err := d.look(ctx)
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
	d.tellResults(results)
	return nil
}

// commit makes edits, publishes them and waits until all three clusters are as they say.
func (d *demo) commit(ctx context.Context, message string, edits ...edit) (before map[string]objects, results []result, want map[string]expectation, err error) {
	before, err = d.look(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := d.edit(edits); err != nil {
		return nil, nil, nil, err
	}
	want, err = expect(ctx, d.repository.dir, d.validator, d.clusters)
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
	d.tellResults(results)
	return before, results, want, nil
}

// edit makes the edits in the work tree, and shows them as a diff would.
func (d *demo) edit(edits []edit) error {
	for _, e := range edits {
		if err := d.repository.apply(e); err != nil {
			return err
		}
		place := "# " + e.file
		removed := "the whole file"
		if e.old != "" {
			removed = firstLine(e.old)
		}
		d.tell.line("   %s  %s", d.tell.wrap("31", fmt.Sprintf("- %-72s", removed)), place)
		if e.new != "" {
			d.tell.line("   %s", d.tell.wrap("32", "+ "+firstLine(e.new)))
		}
	}
	return nil
}

// firstLine is enough of a change to see what it is about.
func firstLine(text string) string {
	first, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		first += " ... }"
	}
	return first
}

// keep tells how to look around, and waits.
func (d *demo) keep(ctx context.Context) error {
	var kubeconfigs []string
	for _, c := range d.clusters {
		kubeconfigs = append(kubeconfigs, c.kubeconfig)
	}
	d.tell.title("It goes on running until Ctrl-C. Look around in another shell:")
	d.tell.line("\n   export KUBECONFIG=%s", strings.Join(kubeconfigs, string(os.PathListSeparator)))
	for _, hint := range []struct{ command, what string }{
		{"kubectl --context use1-a -n " + namespace + " get meshsync", "revision, counts, what is wrong"},
		{"kubectl --context use1-a get serviceentries -A -L isthmus.dev/service", "what the cluster knows of the others"},
		{"kubectl --context use1-a -n ledger edit serviceentry", "spoil something, and look again"},
		{"cd " + d.repository.dir, "a clone: edit, git commit -am ..., git push"},
		{program() + " render --cluster use1-a", "what a cluster is to hold by these files"},
		{"tail -f " + filepath.Join(d.dir, "*-controller.log"), "what the controllers do"},
	} {
		d.tell.line("   %-70s  # %s", hint.command, hint.what)
	}
	d.tell.line("\n   A push is followed within %s, an edit in a cluster is undone at once.", interval)

	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, c := range d.clusters {
		go func() {
			select {
			case <-running.Done():
			case <-c.controller.ended:
				cancel(c.explain(running, "the controller of cluster "+c.name+" has ended: "+c.controller.exited().Error(), ""))
			}
		}()
	}
	<-running.Done()
	if ctx.Err() == nil {
		return context.Cause(running)
	}
	return nil
}

// program is how this command can be called from any folder.
func program() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return "isthmus"
}
