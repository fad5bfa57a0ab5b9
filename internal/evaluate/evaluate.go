package evaluate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/freeze"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/shard"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Options select what an evaluation checks and renders.
type Options struct {
	// Cluster is the cluster to render for. With "" the repository is checked and nothing is
	// rendered.
	Cluster string
	// Limits bound the evaluation; a zero field has its default. An [Evaluator] ignores them: it
	// has its own.
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

	at locator
}

// locator finds the position of a path of the mesh.
type locator interface {
	Find(path []string) (Position, bool)
}

// Findings returns all findings, sorted by file and line. The finding of an unreadable file is
// returned once, for all services in it.
func (r *Result) Findings() manifest.Findings {
	var all manifest.Findings
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

// Locate returns the position of a path of the mesh ("services.checkout.routes"), or of the nearest
// enclosing field.
func (r *Result) Locate(path string) (Position, bool) { return r.at.Find(strings.Split(path, ".")) }

// Evaluator evaluates one commit after another. Results are kept in memory and in the cache, and
// what a commit did not change is not computed again. It is safe for concurrent use; evaluations
// are serialized.
type Evaluator struct {
	limits Limits
	memory *shard.Memory
}

// New makes an evaluator. The store may be nil.
func New(limits Limits, store *cache.Store) *Evaluator {
	limits = limits.WithDefaults()
	return &Evaluator{limits: limits, memory: shard.NewMemory(limits, store)}
}

// Evaluate evaluates one snapshot with a new [Evaluator].
func Evaluate(ctx context.Context, snap *source.Snapshot, opts Options) (*Result, error) {
	return New(opts.Limits, nil).Evaluate(ctx, snap, opts)
}

// Evaluate evaluates a snapshot. Errors of the repository, including an exceeded limit, are
// manifest.Findings. Other errors are those of this process: the context ended, or no child could
// be started.
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

// Partial is Evaluate that accepts broken services: they are in the result, beside all others.
func (e *Evaluator) Partial(ctx context.Context, snap *source.Snapshot, opts Options) (*Result, error) {
	release, err := acquireEvaluationSlot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	r := e.newRun(snap, opts)
	result, err := r.do(ctx)
	// Results before an error, or before the end of ctx, are valid as well.
	e.memory.Save()
	var findings manifest.Findings
	if suspects := opts.LastKnownGood.Suspects(r.infos); errors.As(err, &findings) && len(suspects) > 0 {
		// The error may be in a service file that now defines something else as well.
		again := e.newRun(snap, opts)
		again.suspected = freeze.BlameFiles(suspects, findings)
		if result, againErr := again.do(ctx); againErr == nil {
			e.memory.Save()
			e.memory.NextGeneration()
			return result, nil
		}
	}
	if err == nil {
		e.memory.NextGeneration()
	}
	return result, err
}

// Manifests evaluates every manifest of a snapshot by itself. The result has those without errors,
// whether or not they match the other services. It is for services that are known to have been good
// in that commit. Errors are those of Evaluate; a repository that cannot be sharded is one.
func (e *Evaluator) Manifests(ctx context.Context, snap *source.Snapshot, cluster string) (*LastKnownGood, error) {
	release, err := acquireEvaluationSlot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	r := e.newRun(snap, Options{Cluster: cluster})
	defer r.session.Close()
	if err := r.divide(ctx); err != nil {
		return nil, err
	}
	if r.partition.InOnePiece() {
		return nil, manifest.Findings{{Message: "the repository is evaluated in one piece, so its services cannot be evaluated separately"}}
	}
	loaded, err := shard.Load(ctx, r.session, r.partition)
	if err != nil {
		return nil, err
	}
	return freeze.New(nil, nil, r.partition, loaded.Services).LastKnownGood(snap), nil
}

// Enforced starts a child to find out how it is isolated on this machine.
func Enforced(ctx context.Context, limits Limits) (sandbox.Enforced, error) {
	worker, err := sandbox.Start(ctx, limits.Sandbox())
	if err != nil {
		return sandbox.Enforced{}, err
	}
	defer worker.Close()
	return worker.Enforced(), nil
}

// evaluationSlot serializes the evaluations of this process, so that Limits.Memory bounds their
// total memory.
var evaluationSlot = make(chan struct{}, 1)

func acquireEvaluationSlot(ctx context.Context) (release func(), _ error) {
	select {
	case evaluationSlot <- struct{}{}:
		return func() { <-evaluationSlot }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for an earlier evaluation, which is still running: %w", context.Cause(ctx))
	}
}
