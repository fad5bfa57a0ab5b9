package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// controllerCommand is the name of the child process with an evaluator and a renderer, as in a
// controller.
const controllerCommand = "controller"

// controllerRequest is the request to the child process.
type controllerRequest struct {
	Dir, CacheDir string
	// Changes is the number of commits whose time is measured, Commits of those whose memory is
	// measured.
	Changes, Commits int
	// Verify compares the last bundle with an evaluation from scratch.
	Verify bool
}

// controllerResponse contains the measurements.
type controllerResponse struct {
	First   sample
	Changes []sample
	Nothing []sample
	// Start is the time to start and end a sandbox child.
	Start  time.Duration
	Memory []memorySample
	// Peaks are the peaks during the commits of Memory. Median is the median time of these commits.
	Peaks  struct{ Own, Children int64 }
	Median time.Duration
}

// sample is the cost of one commit, from the snapshot to the bundle.
type sample struct {
	Kind string
	// Total is the sum of Evaluate, View and Render.
	Total, Evaluate, View, Render time.Duration
	// Alone is Evaluate without the start of a child.
	Alone time.Duration
	// Own and Children are processor times.
	Own, Children time.Duration
	Work          evaluate.Work
	Digest        string
	Resources     int
	// Changed: the bundle differs from the one before.
	Changed bool
}

func (m sample) String() string {
	return fmt.Sprintf("%s: %s = evaluate %s + view %s + render %s; processors: own %s, children %s; %+v; bundle changed: %t",
		m.Kind, figure.Seconds(m.Total), figure.Seconds(m.Evaluate), figure.Seconds(m.View), figure.Seconds(m.Render),
		figure.Seconds(m.Own), figure.Seconds(m.Children), m.Work, m.Changed)
}

// memorySample is the memory after a commit and a garbage collection, in bytes.
type memorySample struct {
	Commit         int
	Resident, Heap int64
}

// controller has the state of the child process.
type controller struct {
	request   controllerRequest
	evaluator *evaluate.Evaluator
	renderer  *render.Renderer
	validator *istio.Validator
	history   *history
	bundle    *render.Bundle
	log       io.Writer
	response  controllerResponse
}

// runController runs in the child process.
func runController(ctx context.Context, request controllerRequest, log io.Writer) (controllerResponse, error) {
	c := &controller{request: request, log: log}
	var store *cache.Store
	var err error
	if request.CacheDir != "" {
		if store, err = cache.Open(request.CacheDir, 0); err != nil {
			return c.response, err
		}
		defer func() { _ = store.Close() }() // the cache is not used again
	}
	if c.validator, err = istio.NewValidator(); err != nil {
		return c.response, err
	}
	c.evaluator, c.renderer = evaluate.New(evaluate.Limits{}, store), render.New(c.validator, store)
	for _, step := range []func(context.Context) error{c.first, c.change, c.nothing, c.commits, c.verify} {
		if err := step(ctx); err != nil {
			return c.response, err
		}
	}
	return c.response, nil
}

// make evaluates and renders a snapshot.
func (c *controller) make(ctx context.Context, kind string, snap *source.Snapshot) (sample, *evaluate.Result, error) {
	m := sample{Kind: kind}
	own, children := figure.ProcessorTime(syscall.RUSAGE_SELF), figure.ProcessorTime(syscall.RUSAGE_CHILDREN)
	began := time.Now()
	result, err := c.evaluator.Evaluate(ctx, snap, evaluate.Options{Cluster: cluster})
	if err != nil {
		return m, nil, err
	}
	evaluated := time.Now()
	view, err := mesh.NewView(result.Mesh, cluster)
	if err != nil {
		return m, nil, err
	}
	viewed := time.Now()
	bundle, err := c.renderer.Render(view, result, snap.Revision)
	if err != nil {
		return m, nil, err
	}
	ended := time.Now()
	c.bundle = bundle
	m.Total, m.Evaluate, m.View, m.Render = ended.Sub(began), evaluated.Sub(began), viewed.Sub(evaluated), ended.Sub(viewed)
	m.Own, m.Children = figure.ProcessorTime(syscall.RUSAGE_SELF)-own, figure.ProcessorTime(syscall.RUSAGE_CHILDREN)-children
	m.Alone = m.Evaluate
	if m.Children > 0 { // a child was started for this commit and has ended
		m.Alone = max(0, m.Evaluate-c.response.Start)
	}
	m.Work, m.Digest, m.Resources = result.Work, bundle.Digest, len(bundle.Resources)
	return m, result, nil
}

// first evaluates the whole repository.
func (c *controller) first(ctx context.Context) error {
	var starts []time.Duration
	for range 5 {
		began := time.Now()
		if _, err := evaluate.Enforced(ctx, evaluate.Limits{}); err != nil {
			return err
		}
		starts = append(starts, time.Since(began))
	}
	c.response.Start = figure.Median(starts)
	snap, err := source.FromDir(ctx, c.request.Dir, source.Limits{})
	if err != nil {
		return err
	}
	m, result, err := c.make(ctx, "first", snap)
	if err != nil {
		return err
	}
	c.response.First = m
	m.Changed = true
	fmt.Fprintf(c.log, "  %s; %d resources; a child starts in %s\n", m, m.Resources, figure.Seconds(c.response.Start))
	c.history, err = newHistory(snap, result.Mesh, max(c.request.Changes, len(kinds)))
	return err
}

// change measures the time of single changes.
func (c *controller) change(ctx context.Context) error {
	before, changed := c.response.First.Digest, 0
	for range c.request.Changes {
		kind, err := c.history.next()
		if err != nil {
			return err
		}
		runtime.GC()
		m, _, err := c.make(ctx, kind, c.history.now)
		if err != nil {
			return err
		}
		if m.Work.Rendered == 0 || m.Work.Unsharded {
			return fmt.Errorf("the change of a %s caused a full evaluation: %+v", kind, m.Work)
		}
		m.Changed = m.Digest != before
		before = m.Digest
		fmt.Fprintf(c.log, "  %s\n", m)
		c.response.Changes = append(c.response.Changes, m)
		if m.Changed {
			changed++
		}
	}
	if 2*changed < c.request.Changes {
		return fmt.Errorf("only %d of %d changes changed the bundle", changed, c.request.Changes)
	}
	return nil
}

// nothing evaluates commits without a change of CUE files.
func (c *controller) nothing(ctx context.Context) error {
	before := c.bundle.Digest
	for _, file := range []string{"README.md", "services/OWNERS.txt"} {
		c.history.commit(file, "# nothing that CUE reads\n")
		m, _, err := c.make(ctx, file, c.history.now)
		if err != nil {
			return err
		}
		if m.Digest != before {
			return fmt.Errorf("a commit of %s changed the bundle", file)
		}
		fmt.Fprintf(c.log, "  %s\n", m)
		c.response.Nothing = append(c.response.Nothing, m)
	}
	return nil
}

// commits evaluates one commit after another and measures the memory.
func (c *controller) commits(ctx context.Context) error {
	w := watch(os.Getpid())
	defer w.stop()
	every := max(1, c.request.Commits/10)
	var times []time.Duration
	for n := range c.request.Commits {
		kind, err := c.history.next()
		if err != nil {
			return err
		}
		m, _, err := c.make(ctx, kind, c.history.now)
		if err != nil {
			return err
		}
		times = append(times, m.Total)
		if (n+1)%every != 0 {
			continue
		}
		p := w.restart()
		debug.FreeOSMemory()
		s := memorySample{Commit: n + 1, Resident: figure.Resident(os.Getpid()), Heap: figure.Heap()}
		w.restart()
		c.response.Memory = append(c.response.Memory, s)
		c.response.Peaks.Own, c.response.Peaks.Children = max(c.response.Peaks.Own, p.own), max(c.response.Peaks.Children, p.children)
		fmt.Fprintf(c.log, "  after %d commits: %s resident, %s of it live; at most %s in between, and the children %s\n",
			s.Commit, figure.Bytes(s.Resident), figure.Bytes(s.Heap), figure.Bytes(p.own), figure.Bytes(p.children))
	}
	if len(times) > 0 {
		c.response.Median = figure.Median(times)
	}
	return nil
}

// verify evaluates the last snapshot from scratch.
func (c *controller) verify(ctx context.Context) error {
	if !c.request.Verify {
		return nil
	}
	want := c.bundle.Digest
	c.evaluator, c.renderer = evaluate.New(evaluate.Limits{}, nil), render.New(c.validator, nil)
	m, _, err := c.make(ctx, "verify", c.history.now)
	if err == nil && m.Digest != want {
		err = errors.New("the bundle after all changes differs from an evaluation from scratch")
	}
	return err
}
