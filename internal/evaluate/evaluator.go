package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Evaluator evaluates one commit after another and keeps what it found out, in memory and in its cache: what did not change between
// two commits is not evaluated again. It may be used by several goroutines; it evaluates one commit at a time.
type Evaluator struct {
	limits Limits
	cache  *cache.Store
	memory memory
	// program is that of these limits.
	program []byte
}

// New makes an evaluator. The cache may be nil.
func New(limits Limits, store *cache.Store) *Evaluator {
	limits = limits.withDefaults()
	return &Evaluator{limits: limits, cache: store, memory: newMemory(), program: program(limits)}
}

// Work counts what an evaluation had to do, rather than finding it done.
type Work struct {
	// Calls to child processes; files parsed, services evaluated, services rendered there.
	Calls, Parsed, Evaluated, Rendered int
	// Whole: the repository was evaluated as a whole.
	Unsharded bool
}

// run is one evaluation.
type run struct {
	*Evaluator
	snap    *source.Snapshot
	options Options
	pool    *sandbox.Pool
	work    Work

	infos map[string]fileInfo
	// suspected are files that are taken for unparsable, for these reasons.
	suspected map[string]manifest.Findings
	// aside is what must not be read, and can hold no service.
	aside manifest.Findings
	split *split
	// base is the key of all that every shard is evaluated with.
	base   cache.Key
	shared *sharedPart
	mesh   *manifest.Mesh
	// services are those that evaluated, broken what is wrong with others, or with those.
	services map[string]*known
	broken   map[string]manifest.Findings
	// frozen are those of services that are as they were in an earlier commit; lost those of which nobody knows, and files.
	frozen map[string]Frozen
	lost   map[string]struct{}
	// leftOut are broken services that never were good.
	leftOut map[string]struct{}
	// hiding are files that cannot be read, by the services that vanished and may stand there.
	hiding map[string][]string
	// undecided are services that can be rendered only as their files say them.
	undecided []string
	// failed are services of which nothing could be rendered.
	failed []string
	// wide is what is wrong with what all services share, as far as only services show it.
	wide     manifest.Findings
	around   *neighbourhood
	rendered map[string]*rendering
	// from is used again and again by serviceKey.
	from []*known
}

func (r *run) do(ctx context.Context) (*Result, error) {
	defer r.pool.Close()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if r.split.inOnePiece() {
		return r.whole(ctx)
	}
	if err := r.sharedUnread(); err != nil {
		return nil, err
	}
	if err := r.evaluateManifests(ctx); err != nil {
		return nil, err
	}
	if c := r.options.Cluster; c != "" {
		if _, ok := r.shared.clusters[c]; !ok {
			if unread := r.unread(); len(unread) > 0 {
				// It may stand there.
				return nil, unread
			}
			return nil, unknownCluster(r.shared.clusters, c)
		}
	}
	if err := r.renderServices(ctx); err != nil {
		return nil, err
	}
	return r.result()
}

// prepare finds out which files there are and what may be evaluated apart.
func (r *run) prepare(ctx context.Context) (err error) {
	if err := r.classify(ctx); err != nil {
		return explain(ctx, err)
	}
	for p, found := range r.suspected {
		r.infos[p] = fileInfo{Findings: found}
	}
	r.split, err = newSplit(r.snap, r.infos)
	return err
}

// evaluateManifests evaluates everything that does not depend on who calls whom.
func (r *run) evaluateManifests(ctx context.Context) error {
	r.base = r.baseKey()
	r.services, r.broken = map[string]*known{}, map[string]manifest.Findings{}
	r.frozen, r.lost, r.leftOut, r.hiding = map[string]Frozen{}, map[string]struct{}{}, map[string]struct{}{}, map[string][]string{}
	if err := r.evaluateShared(ctx); err != nil {
		return err
	}
	return explain(ctx, r.evaluateUnits(ctx))
}

// whole evaluates the repository in one piece.
func (r *run) whole(ctx context.Context) (*Result, error) {
	if unread := r.unread(); len(unread) > 0 {
		return nil, unread
	}
	if len(r.options.Refused) > 0 {
		var all manifest.Findings
		for _, name := range slices.Sorted(maps.Keys(r.options.Refused)) {
			all = append(all, r.options.Refused[name]...)
		}
		return nil, all
	}
	r.work.Unsharded = true
	r.work.Calls++
	data, err := ask(ctx, r.snap, r.options.Cluster, r.limits)
	if err != nil {
		return nil, inOnePiece(explain(ctx, err), err, r.split.whole)
	}
	result, err := understand(data, r.options)
	if err != nil {
		return nil, err
	}
	result.Work, result.Unshardable = r.work, r.split.whole
	return result, nil
}

// findings are all that was found so far.
func (r *run) findings() manifest.Findings {
	return (&Result{Broken: r.broken, Unread: r.unread()}).Findings()
}

// unread is why files could not be read.
func (r *run) unread() manifest.Findings {
	all := slices.Clone(r.aside)
	for _, p := range slices.Sorted(maps.Keys(r.split.broken)) {
		all = append(all, r.split.broken[p]...)
	}
	return all
}

// count notes a call of several that are made at the same time.
func (r *run) count(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
	r.work.Calls++
}

// call asks a child. What it says is somebody else's.
func call[Q, A any](ctx context.Context, child caller, handler string, q Q) (A, error) {
	var answer reply[A]
	request, err := encodeQuestion(q)
	if err != nil {
		var none A
		return none, err
	}
	response, err := child.Call(ctx, handler, request)
	if err == nil {
		if err = json.Unmarshal(response, &answer); err != nil {
			err = fmt.Errorf("the evaluation's answer cannot be read: %w", err)
		}
	}
	switch {
	case err != nil:
		var none A
		return none, err
	case answer.Answer == nil:
		var none A
		if len(answer.Findings) == 0 {
			return none, errors.New("the evaluation gave no answer")
		}
		return none, answer.Findings
	}
	return *answer.Answer, nil
}

// result puts everything together.
func (r *run) result() (*Result, error) {
	result := &Result{
		Mesh: r.mesh, Broken: r.broken, Unread: r.unread(), Frozen: r.frozen, NeverGood: slices.Sorted(maps.Keys(r.leftOut)), Unknown: slices.Sorted(maps.Keys(r.lost)), Work: r.work,
		LastKnownGood: r.basis(), at: &lazyLocator{run: r},
	}
	if r.options.Cluster == "" {
		return result, nil
	}
	result.Rendered = map[string]json.RawMessage{}
	for _, got := range r.rendered {
		for key, resource := range got.Resources {
			if _, twice := result.Rendered[key]; twice {
				return nil, manifest.Findings{{Path: templateField, Message: fmt.Sprintf("resource %s, which several services render", key)}}
			}
			result.Rendered[key] = resource
		}
	}
	return result, nil
}

func unknownCluster(clusters map[string]manifest.Cluster, cluster string) error {
	_, err := mesh.NewView(&manifest.Mesh{Clusters: clusters}, cluster)
	return err
}
