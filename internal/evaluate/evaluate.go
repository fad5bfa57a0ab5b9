package evaluate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Options select what an evaluation checks and renders.
type Options struct {
	// Cluster is the cluster to render for. With "" the repository is checked and nothing is
	// rendered.
	Cluster string
	// Limits bound the evaluation; a zero field has its default. An [Evaluator] ignores them: it has
	// its own.
	Limits Limits
	// LastKnownGood replaces broken services in Partial. With nil nothing is replaced, and broken
	// services are in Result.Unknown.
	LastKnownGood *LastKnownGood
	// CheckAll checks all services, not only those that concern the cluster.
	CheckAll bool
	// Unknown are services whose last known good manifest is lost.
	Unknown []string
	// Refused are services that a later step found broken, with its findings.
	Refused map[string]manifest.Findings
}

// Result is the evaluated commit.
type Result struct {
	// Mesh contains the services that evaluated, and the frozen ones.
	Mesh *manifest.Mesh
	// Rendered are the objects that the template made for Options.Cluster, keyed by
	// "Kind/namespace/name", as JSON with the numbers as CUE writes them. Nil without a cluster.
	Rendered map[string]json.RawMessage
	// Broken are the findings by service, also for services that are in Mesh.
	Broken map[string]manifest.Findings
	// Unread are findings in files that cannot be parsed. The services in these files are unknown.
	Unread manifest.Findings
	// Frozen are the broken services that are in Mesh as Options.LastKnownGood has them.
	Frozen map[string]Frozen
	// NeverGood are the broken services that Options.LastKnownGood does not have, sorted. They are
	// not in Mesh.
	NeverGood []string
	// Unknown are broken services and unreadable files without a last known good manifest, sorted.
	// The caller must keep all objects that may stem from them.
	Unknown []string
	// LastKnownGood is the input for the next commit; nil if the repository was not sharded.
	LastKnownGood *LastKnownGood
	// Unshardable are the reasons, each with its file, why the repository was evaluated in one
	// piece; empty if it was sharded.
	Unshardable manifest.Findings
	// Work counts what the evaluation had to compute.
	Work Work

	at places
}

// Findings are all that is wrong, sorted by file and line.
func (r *Result) Findings() manifest.Findings {
	var all manifest.Findings
	// What keeps a file from being read is told once, whoever stands in it.
	type place struct {
		file, message string
		line          int
	}
	unread := map[place]int{}
	for _, f := range r.Unread {
		unread[place{f.File, f.Message, f.Line}] = len(all)
		all = append(all, f)
	}
	several := map[int]bool{}
	for _, found := range r.Broken {
		for _, f := range found {
			i, told := unread[place{f.File, f.Message, f.Line}]
			switch {
			case !told:
				all = append(all, f)
			case several[i] || all[i].Service != "" && all[i].Service != f.Service:
				several[i], all[i].Service = true, ""
			default:
				all[i].Service = f.Service
			}
		}
	}
	slices.SortStableFunc(all, func(a, b manifest.Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Path, b.Path), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(all)
}

// Locate is where a path of the mesh ("services.checkout.routes") was written, or the nearest field around it.
func (r *Result) Locate(path string) (Position, bool) { return r.at.find(strings.Split(path, ".")) }

// running lets one evaluation run at a time, so that Limits.Memory is what all of them need together.
var running = make(chan struct{}, 1)

// Evaluate is plain CUE's answer for one snapshot. Problems of the repository are manifest.Findings, all of them, and so is
// a limit that it went over; any other error is of this process: the context ended, or no child could be started. When
// it returns, the evaluation has ended.
func Evaluate(ctx context.Context, snap *source.Snapshot, opts Options) (*Result, error) {
	return New(opts.Limits, nil).Evaluate(ctx, snap, opts)
}

// Evaluate is the package's Evaluate, for one commit after another.
func (e *Evaluator) Evaluate(ctx context.Context, snap *source.Snapshot, opts Options) (*Result, error) {
	result, err := e.Partial(ctx, snap, opts)
	if err != nil {
		return nil, err
	}
	if found := result.Findings(); len(found) > 0 {
		return nil, found
	}
	return result, nil
}

// Partial is Evaluate where a service that is broken is no error: the result says which are, and has all others.
func (e *Evaluator) Partial(ctx context.Context, snap *source.Snapshot, opts Options) (*Result, error) {
	release, err := turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	r := e.newRun(snap, opts)
	result, err := r.do(ctx)
	// What was found out before an error, or the end of ctx, is worth as much.
	e.memory.save(e.cache)
	var findings manifest.Findings
	if suspects := r.suspects(); errors.As(err, &findings) && len(suspects) > 0 {
		// A slip in a service file may make it anything but one.
		again := e.newRun(snap, opts)
		again.suspected = blameFiles(suspects, findings)
		if result, againErr := again.do(ctx); againErr == nil {
			e.memory.save(e.cache)
			e.memory.turn()
			return result, nil
		}
	}
	if err == nil {
		e.memory.turn()
	}
	return result, err
}

func (e *Evaluator) newRun(snap *source.Snapshot, opts Options) *run {
	return &run{Evaluator: e, snap: snap, options: opts, pool: sandbox.NewPool(e.limits.shard(), workers)}
}

// turn waits until nobody else evaluates.
func turn(ctx context.Context) (release func(), _ error) {
	select {
	case running <- struct{}{}:
		return func() { <-running }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for an earlier evaluation, which is still running: %w", context.Cause(ctx))
	}
}

// ask has a child evaluate a repository as a whole, a fresh one: CUE keeps about 70 bytes of every label that it ever saw, and what one
// commit left behind is nothing for the next one to find.
func ask(ctx context.Context, snap *source.Snapshot, cluster string, limits Limits) ([]byte, error) {
	worker, err := sandbox.Start(ctx, limits.sandbox())
	if err != nil {
		return nil, err
	}
	defer worker.Close()
	question, err := writeQuestion(snap, cluster)
	if err != nil {
		return nil, err
	}
	return worker.Call(ctx, handlerName, question)
}

// Enforced starts a child to learn what keeps one in here.
func Enforced(ctx context.Context, limits Limits) (sandbox.Enforced, error) {
	worker, err := sandbox.Start(ctx, limits.sandbox())
	if err != nil {
		return sandbox.Enforced{}, err
	}
	defer worker.Close()
	return worker.Enforced(), nil
}

// understand turns the child's answer into the result. It is read as somebody else's: a child that a repository has
// taken over can say what it likes, and no more than a repository can.
func understand(data []byte, opts Options) (*Result, error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("the evaluation's answer cannot be read: %w", err)
	}
	if len(a.Findings) > 0 {
		return nil, a.Findings
	}
	result := &Result{Mesh: &manifest.Mesh{}, at: a.At}
	into := map[string]any{
		"settings":  &result.Mesh.Settings,
		"clusters":  &result.Mesh.Clusters,
		"services":  &result.Mesh.Services,
		"externals": &result.Mesh.Externals,
	}
	if opts.Cluster != "" {
		into[resourcesField] = &result.Rendered
	}
	var findings manifest.Findings
	for _, field := range fields(opts.Cluster) {
		value, ok := a.Values[field]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, into[field]); err != nil {
			findings = append(findings, manifest.Finding{Path: field, Message: err.Error()})
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	return result, nil
}
