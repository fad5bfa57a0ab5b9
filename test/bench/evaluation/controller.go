package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// controllerCommand has this program hold an evaluator and a renderer as a controller does, in a process of its own: what it is
// asked stands on its standard input, what it measured on its standard output.
const controllerCommand = "controller"

// errands are what such a process shall do.
type errands struct {
	Dir, CacheDir string
	// Changes are single commits that are timed; Commits are made one after another while the memory is watched.
	Changes, Commits int
	Verify           bool
}

// held is what it measured.
type held struct {
	First   made
	Changes []made
	Nothing []made
	// Start is what starting and ending a child takes.
	Start  time.Duration
	Memory []memorySample
	// Peaks are those while the commits of Memory were made; Median is how long each took.
	Peaks  struct{ Own, Children int64 }
	Median time.Duration
}

// made is what one commit took, from the snapshot to the bundle.
type made struct {
	Kind string
	// Evaluate, View and Render make up Total.
	Total, Evaluate, View, Render time.Duration
	// Alone is Evaluate without the start of a child.
	Alone time.Duration
	// Own and Children are processor time.
	Own, Children time.Duration
	Work          evaluate.Work
	Digest        string
	Resources     int
	// Seen: the bundle is another one than before.
	Seen bool
}

func (m made) String() string {
	return fmt.Sprintf("%s: %s = evaluate %s + view %s + render %s; processors: own %s, children %s; %+v; seen: %t",
		m.Kind, figure.Seconds(m.Total), figure.Seconds(m.Evaluate), figure.Seconds(m.View), figure.Seconds(m.Render), figure.Seconds(m.Own), figure.Seconds(m.Children), m.Work, m.Seen)
}

// memorySample is after a commit, with all garbage given back, in bytes.
type memorySample struct {
	Commit         int
	Resident, Heap int64
}

// ask runs such a process.
func ask(ctx context.Context, e errands, stderr io.Writer) (held, error) {
	var h held
	program, err := os.Executable()
	if err != nil {
		return h, err
	}
	question, err := json.Marshal(e)
	if err != nil {
		return h, err
	}
	cmd := exec.CommandContext(ctx, program, controllerCommand)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=800MiB") // as config/manager has it
	in, err := cmd.StdinPipe()
	if err != nil {
		return h, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return h, err
	}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		return h, err
	}
	_, err = in.Write(question)
	err = errors.Join(err, in.Close())
	data, readErr := io.ReadAll(out)
	if err := errors.Join(err, readErr, cmd.Wait()); err != nil {
		return h, fmt.Errorf("the process that holds an evaluator: %w", err)
	}
	err = json.Unmarshal(data, &h)
	return h, err
}

// controller is the process that is asked.
type controller struct {
	errands
	evaluator *evaluate.Evaluator
	renderer  *render.Renderer
	validator *istio.Validator
	history   *history
	bundle    *render.Bundle
	log       io.Writer
	held      held
}

func serveController(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	c := &controller{log: stderr}
	if err := json.NewDecoder(stdin).Decode(&c.errands); err != nil {
		return err
	}
	var store *cache.Store
	if c.CacheDir != "" {
		var err error
		if store, err = cache.Open(c.CacheDir, 0); err != nil {
			return err
		}
		defer func() { _ = store.Close() }() // nothing of it is needed again
	}
	var err error
	if c.validator, err = istio.NewValidator(); err != nil {
		return err
	}
	c.evaluator, c.renderer = evaluate.New(evaluate.Limits{}, store), render.New(c.validator, store)
	for _, step := range []func(context.Context) error{c.first, c.change, c.nothing, c.commits, c.verify} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return json.NewEncoder(stdout).Encode(c.held)
}

// make makes the bundle of a snapshot.
func (c *controller) make(ctx context.Context, kind string, snap *source.Snapshot) (made, *evaluate.Result, error) {
	m := made{Kind: kind}
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
	if m.Children > 0 { // one has ended, so it was started for this
		m.Alone = max(0, m.Evaluate-c.held.Start)
	}
	m.Work, m.Digest, m.Resources = result.Work, bundle.Digest, len(bundle.Resources)
	return m, result, nil
}

// first evaluates all.
func (c *controller) first(ctx context.Context) error {
	var starts []time.Duration
	for range 5 {
		began := time.Now()
		if _, err := evaluate.Enforced(ctx, evaluate.Limits{}); err != nil {
			return err
		}
		starts = append(starts, time.Since(began))
	}
	c.held.Start = figure.Median(starts)
	snap, err := source.FromDir(ctx, c.Dir, source.Limits{})
	if err != nil {
		return err
	}
	m, result, err := c.make(ctx, "first", snap)
	if err != nil {
		return err
	}
	c.held.First = m
	m.Seen = true
	fmt.Fprintf(c.log, "  %s; %d resources; a child starts in %s\n", m, m.Resources, figure.Seconds(c.held.Start))
	c.history, err = newHistory(snap, result.Mesh, max(c.Changes, len(kinds)))
	return err
}

// change times single changes.
func (c *controller) change(ctx context.Context) error {
	before, seen := c.held.First.Digest, 0
	for range c.Changes {
		kind, err := c.history.next()
		if err != nil {
			return err
		}
		runtime.GC()
		m, _, err := c.make(ctx, kind, c.history.now)
		if err != nil {
			return err
		}
		if m.Work.Rendered == 0 || m.Work.Whole {
			return fmt.Errorf("a changed %s was not evaluated as one: %+v", kind, m.Work)
		}
		m.Seen = m.Digest != before
		before = m.Digest
		fmt.Fprintf(c.log, "  %s\n", m)
		c.held.Changes = append(c.held.Changes, m)
		if m.Seen {
			seen++
		}
	}
	if 2*seen < c.Changes {
		return fmt.Errorf("of %d changes only %d changed the bundle", c.Changes, seen)
	}
	return nil
}

// nothing makes commits in which nothing changes that is evaluated.
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
		c.held.Nothing = append(c.held.Nothing, m)
	}
	return nil
}

// commits makes one commit after another, and watches the memory.
func (c *controller) commits(ctx context.Context) error {
	w := watch(os.Getpid())
	defer w.stop()
	every := max(1, c.Commits/10)
	var times []time.Duration
	for n := range c.Commits {
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
		c.held.Memory = append(c.held.Memory, s)
		c.held.Peaks.Own, c.held.Peaks.Children = max(c.held.Peaks.Own, p.own), max(c.held.Peaks.Children, p.children)
		fmt.Fprintf(c.log, "  after %d commits: %s resident, %s of it live; at most %s in between, and the children %s\n",
			s.Commit, figure.Bytes(s.Resident), figure.Bytes(s.Heap), figure.Bytes(p.own), figure.Bytes(p.children))
	}
	if len(times) > 0 {
		c.held.Median = figure.Median(times)
	}
	return nil
}

// verify evaluates what came out of all changes from nothing.
func (c *controller) verify(ctx context.Context) error {
	if !c.Verify {
		return nil
	}
	want := c.bundle.Digest
	c.evaluator, c.renderer = evaluate.New(evaluate.Limits{}, nil), render.New(c.validator, nil)
	m, _, err := c.make(ctx, "verify", c.history.now)
	if err == nil && m.Digest != want {
		err = errors.New("all changes, one after another, give another bundle than their outcome evaluated at once")
	}
	return err
}
