package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// WriteObserver learns of our own writes, so that the next plan need not wait for the watch.
// [clustercache.Cache] is one.
type WriteObserver interface {
	// RecordWrite is called with the answer of the API server to a create, update, claim or read.
	RecordWrite(object *unstructured.Unstructured)
	// RecordDelete is called with the object that was deleted.
	RecordDelete(object *unstructured.Unstructured)
}

// Applier writes plans to a cluster.
type Applier struct {
	client      dynamic.Interface
	observer    WriteObserver
	settleTime  time.Duration
	wait        func(context.Context, time.Duration)
	accessCache accessCache
	leaderCheck func(context.Context) error
	clock       clock
}

// WithSettleTime makes the applier wait between additions and removals, so that proxies learn of
// the new configuration before they lose the old. Only a plan that has both waits, and for at most
// half of the time that its context has left. The function wait ends when ctx does.
func (a *Applier) WithSettleTime(pause time.Duration, wait func(ctx context.Context, pause time.Duration)) *Applier {
	a.settleTime, a.wait = pause, wait
	return a
}

// NewApplier returns an applier that writes through client. The client should not be throttled
// (QPS -1 in its rest.Config): the API server ensures fairness, and the applier limits its
// concurrency. The client should not retry by itself; see [NewClient]. The observer is usually the
// cache that plans are made from; it may be nil.
func NewApplier(client dynamic.Interface, observer WriteObserver) *Applier {
	if observer == nil {
		observer = noObserver{}
	}
	return &Applier{client: client, observer: observer, clock: systemClock()}
}

type noObserver struct{}

func (noObserver) RecordWrite(*unstructured.Unstructured)  {}
func (noObserver) RecordDelete(*unstructured.Unstructured) {}

// Why a write is not tried.
var (
	errInterrupted = errors.New("the run was interrupted")
	errDeletesLast = errors.New("objects are deleted only if every other write succeeded")
	errRemovesLast = errors.New("resources that belong to no service lose nothing before every other write succeeded")
)

// Outcome is the result of one action that writes.
type Outcome struct {
	Action plans.Action
	// Failure is nil if the action was carried out or skipped.
	Failure *Failure
	// Skipped is why the action was not tried, nil if it was.
	Skipped error
}

// Result is the result of a plan. Outcomes are in the order of the plan.
type Result struct {
	Created, Updated, Claimed, Adopted, Deleted int
	// Drifted counts the written objects that another writer had changed.
	Drifted         int
	Failed, Skipped int
	Unchanged       int
	// Namespaces are the created namespaces.
	Namespaces []string
	Outcomes   []Outcome
	// Known is what the cluster has now, for [plans.Planner.Applied].
	Known plans.Record
}

// Wrote counts the writes that succeeded.
func (r Result) Wrote() int { return r.Created + r.Updated + r.Claimed + r.Adopted + r.Deleted }

// Corrected are the actions that corrected drift.
func (r Result) Corrected() []plans.Action {
	var corrected []plans.Action
	for _, outcome := range r.Outcomes {
		if outcome.Action.Drift && outcome.Failure == nil && outcome.Skipped == nil {
			corrected = append(corrected, outcome.Action)
		}
	}
	return corrected
}

// Apply carries a plan out: namespaces, then additions kind by kind, then, after the settle time,
// removals in reverse order. Objects are deleted only if every earlier write succeeded. A failed
// write stops later writes of the same service and all deletions, and nothing else. A plan without
// writes sends no request, and neither does a held plan.
//
// A throttled write (429, 5xx, no answer) is repeated a few times with less concurrency before it
// counts as failed.
//
// The error joins every [*Failure] and is nil only if the whole plan was carried out; the result
// is valid in either case. What was written before ctx ended stays, and the next run continues
// from there.
func (a *Applier) Apply(ctx context.Context, plan plans.Plan) (Result, error) {
	if plan.Guard != nil {
		return Result{Unchanged: plan.Unchanged, Known: maps.Clone(plan.Known)}, &HeldError{Guard: *plan.Guard}
	}
	run := &run{
		Applier: a, limiter: newWriteLimiter(a.clock), owner: plan.Owner,
		blocked: map[string]error{}, unusableNamespaces: map[string]error{}, transitional: map[render.Key]*unstructured.Unstructured{},
		result: Result{Unchanged: plan.Unchanged, Known: maps.Clone(plan.Known)},
	}
	if plan.Writes() {
		if err := run.checkLeader(ctx); err != nil {
			return run.result, fmt.Errorf("nothing was written: %w", err)
		}
	}
	run.namespaces(ctx, plan)
	all, beforePause := plans.Stages(plan.Actions)
	for i, stage := range all {
		if i == beforePause {
			run.waitSettleTime(ctx)
		}
		run.stage(ctx, stage)
	}
	return run.result, errors.Join(run.errs...)
}

// run carries out one plan once.
type run struct {
	*Applier
	limiter *writeLimiter
	owner   string
	result  Result
	errs    []error
	// blocked holds, by service, the write that failed; unusableNamespaces holds, by namespace,
	// why it cannot be used.
	blocked, unusableNamespaces map[string]error
	cutOff                      bool
	// transitional are the objects after the first of two writes.
	mu           sync.Mutex
	transitional map[render.Key]*unstructured.Unstructured
	// added is set if routing was added that proxies have to learn.
	added       bool
	leaderState leaderState
}

// waitSettleTime waits until proxies have learned the additions.
func (r *run) waitSettleTime(ctx context.Context) {
	if r.wait == nil || r.settleTime <= 0 || !r.added {
		return
	}
	pause := r.settleTime
	if deadline, ok := ctx.Deadline(); ok {
		pause = min(pause, time.Until(deadline)/2)
	}
	r.wait(ctx, pause)
}

func (r *run) namespaces(ctx context.Context, plan plans.Plan) {
	for _, name := range plan.Namespaces {
		if r.interrupted(ctx) {
			return
		}
		err := r.limiter.do(ctx, func(bool) error {
			if err := r.checkLeader(ctx); err != nil {
				return err
			}
			return createNamespace(ctx, r.client, name, plan.NamespaceLabels)
		})
		if err != nil {
			r.unusableNamespaces[name] = fmt.Errorf("namespace %s could not be created", name)
			r.errs = append(r.errs, err)
			continue
		}
		r.result.Namespaces = append(r.result.Namespaces, name)
	}
}

// interrupted notes, once, that ctx ended.
func (r *run) interrupted(ctx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	if !r.cutOff {
		r.cutOff = true
		r.errs = append(r.errs, fmt.Errorf("the run was interrupted: %w; the remaining objects are unchanged, and the next run continues from here", context.Cause(ctx)))
	}
	return true
}

// stage carries out steps of one kind concurrently.
func (r *run) stage(ctx context.Context, steps []plans.Step) {
	// The outcome of an action whose first write failed is known already.
	steps = slices.DeleteFunc(steps, func(s plans.Step) bool { return s.IsSecondPhase() && r.transitional[s.Action.Key] == nil })
	outcomes := make([]Outcome, len(steps))
	var group errgroup.Group
	for i, step := range steps {
		action := step.Action
		outcomes[i].Action = action
		if reason := r.skip(step); reason != nil {
			outcomes[i].Skipped = reason
			continue
		}
		slot, ok := r.limiter.acquire(ctx)
		if !ok {
			outcomes[i].Skipped = errInterrupted
			continue
		}
		group.Go(func() error {
			err := r.limiter.try(ctx, slot, func(again bool) error {
				// Checked before each try: another controller may lead by then.
				if err := r.checkLeader(ctx); err != nil {
					return err
				}
				return r.write(ctx, step, again)
			})
			if err != nil {
				outcomes[i].Failure = failure(action, err)
			}
			return nil
		})
	}
	_ = group.Wait() // each failure is in its outcome
	r.interrupted(ctx)
	for i, outcome := range outcomes {
		done := outcome.Failure == nil && outcome.Skipped == nil
		r.added = r.added || done && outcome.Action.Effect != plans.Removes && plans.IsRouting(outcome.Action.Key.Kind)
		// Two writes have one outcome: that of the second, or of the first if it failed.
		switch {
		case done && steps[i].First:
			delete(r.result.Known, outcome.Action.Key)
		case !done && steps[i].IsSecondPhase():
			r.updated(outcome.Action)
			r.count(outcome)
		default:
			r.count(outcome)
		}
	}
}

// skip is why a step must not be tried, nil if it may.
func (r *run) skip(step plans.Step) error {
	action := step.Action
	if action.Verb == plans.Delete && len(r.errs) > 0 {
		return errDeletesLast
	}
	if removes := action.Effect == plans.Removes || step.IsSecondPhase(); removes && action.Service == "" && len(r.errs) > 0 {
		return errRemovesLast
	}
	if reason := r.unusableNamespaces[action.Key.Namespace]; reason != nil {
		return reason
	}
	return r.blocked[action.Service]
}

func (r *run) count(outcome Outcome) {
	r.result.Outcomes = append(r.result.Outcomes, outcome)
	action := outcome.Action
	if outcome.Skipped != nil {
		r.result.Skipped++
		return
	}
	if outcome.Failure != nil {
		r.result.Failed++
		r.errs = append(r.errs, outcome.Failure)
		if outcome.Failure.Class == Forbidden {
			r.accessCache.forget()
		}
		// Resources that belong to no service do not depend on one another.
		if action.Service != "" && r.blocked[action.Service] == nil {
			r.blocked[action.Service] = fmt.Errorf("%s of the same service could not be applied", action.Key)
		}
		return
	}
	if action.Drift {
		r.result.Drifted++
	}
	switch action.Verb {
	case plans.Create:
		r.result.Created++
	case plans.Update:
		r.updated(action)
	case plans.Claim:
		r.result.Claimed++
	case plans.Delete:
		r.result.Deleted++
		return
	}
	r.result.Known[action.Key] = action.Hash
}

func (r *run) updated(action plans.Action) {
	if action.Adopts {
		r.result.Adopted++
		return
	}
	r.result.Updated++
}
