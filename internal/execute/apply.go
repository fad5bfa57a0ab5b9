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

// Observer learns of our own writes, so that the next plan need not wait for the watch. [Live] is one.
type WriteObserver interface {
	// Wrote is told what the API server answered to a create, update or claim, or to a read.
	RecordWrite(object *unstructured.Unstructured)
	// Deleted is told which object, in which state, was deleted.
	RecordDelete(object *unstructured.Unstructured)
}

// Applier carries plans out.
type Applier struct {
	client      dynamic.Interface
	observer    WriteObserver
	settleTime  time.Duration
	wait        func(context.Context, time.Duration)
	accessCache accessCache
	leaderCheck func(context.Context) error
	clock       clock
}

// Pause makes the applier wait, within a plan, after what widens and before what narrows, so that proxies learn of the new before they lose the
// old. Only a plan that does both waits, and never longer than half of what its context has left. The function wait ends when ctx does.
func (a *Applier) WithSettleTime(pause time.Duration, wait func(ctx context.Context, pause time.Duration)) *Applier {
	a.settleTime, a.wait = pause, wait
	return a
}

// NewApplier makes an applier that writes through client. The client should not be throttled on its side (QPS -1 in
// its rest.Config): the API server sees to fairness, and the applier to what it has no room for, best with a client that
// does not wait by itself, as [NewClient] makes it. The observer is mostly the [Live] that plans are made from; it may be nil.
func NewApplier(client dynamic.Interface, observer WriteObserver) *Applier {
	if observer == nil {
		observer = noObserver{}
	}
	return &Applier{client: client, observer: observer, clock: systemClock()}
}

type noObserver struct{}

func (noObserver) RecordWrite(*unstructured.Unstructured)  {}
func (noObserver) RecordDelete(*unstructured.Unstructured) {}

// Outcome is what became of one action that writes.
type Outcome struct {
	Action plans.Action
	// Failure is nil if it was carried out or skipped.
	Failure *Failure
	// Skipped says why it was not tried, "" if it was.
	Skipped string
}

// Result is what was done. Outcomes are in the order of the plan.
type Result struct {
	Created, Updated, Claimed, Adopted, Deleted int
	// Drifted counts the objects, among those, that somebody else had changed.
	Drifted         int
	Failed, Skipped int
	Unchanged       int
	// Namespaces are those that were created.
	Namespaces []string
	Outcomes   []Outcome
	// Known goes into the [PlanOptions] of the next run.
	Known plans.Record
}

// Wrote reports how many writes succeeded.
func (r Result) Wrote() int { return r.Created + r.Updated + r.Claimed + r.Adopted + r.Deleted }

// Corrected are the actions that corrected drift.
func (r Result) Corrected() []plans.Action {
	var corrected []plans.Action
	for _, outcome := range r.Outcomes {
		if outcome.Action.Drift && outcome.Failure == nil && outcome.Skipped == "" {
			corrected = append(corrected, outcome.Action)
		}
	}
	return corrected
}

// Apply carries the plan out: namespaces, then all that widens, kind by kind, then all that narrows, the other way round; what is deleted
// only if all that was written before succeeded. A write that fails keeps later ones of the same service and all deletes from
// being tried, and nothing else. A plan without writes sends no request, and a braked one neither.
//
// What the API server is too busy for (429, 5xx, no answer) is tried again a few times, with fewer writes side by side; only then has it failed.
//
// The error joins every [*Failure] and is nil only if the whole plan was carried out; the result is valid in
// either case. What was written before ctx ended stays, and the next run goes on from there.
func (a *Applier) Apply(ctx context.Context, plan plans.Plan) (Result, error) {
	if plan.Guard != nil {
		return Result{Unchanged: plan.Unchanged, Known: maps.Clone(plan.Known)}, &HeldError{Guard: *plan.Guard}
	}
	run := &run{
		Applier: a, pace: newPace(a.clock), owner: plan.Owner, blocked: map[string]string{}, unusableNamespaces: map[string]string{}, transitional: map[render.Key]*unstructured.Unstructured{},
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

// run is one execution of one plan.
type run struct {
	*Applier
	pace   *pace
	owner  string
	result Result
	errs   []error
	// blocked names, for a service, the write that failed; unusable, for a namespace, why it is not there.
	blocked, unusableNamespaces map[string]string
	cutOff                      bool
	// begun are the objects of which the first of two writes is done, as they are now.
	mu           sync.Mutex
	transitional map[render.Key]*unstructured.Unstructured
	// widened: something that proxies have to learn of was written.
	added       bool
	leaderState leaderState
}

// settle waits until proxies have learned of what was widened.
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
		err := r.pace.do(ctx, func(bool) error {
			if err := r.checkLeader(ctx); err != nil {
				return err
			}
			return createNamespace(ctx, r.client, name, plan.NamespaceLabels)
		})
		if err != nil {
			r.unusableNamespaces[name] = "namespace " + name + " could not be created"
			r.errs = append(r.errs, err)
			continue
		}
		r.result.Namespaces = append(r.result.Namespaces, name)
	}
}

// ended notes, once, that the run was cut off.
func (r *run) interrupted(ctx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	if !r.cutOff {
		r.cutOff = true
		r.errs = append(r.errs, fmt.Errorf("the run was cut off: %w; what was not yet written is left as it was, and the next run goes on from here", context.Cause(ctx)))
	}
	return true
}

// stage carries out steps of one kind side by side.
func (r *run) stage(ctx context.Context, steps []plans.Step) {
	// Of an action whose first write failed that was the outcome.
	steps = slices.DeleteFunc(steps, func(s plans.Step) bool { return s.IsSecondPhase() && r.transitional[s.Action.Key] == nil })
	outcomes := make([]Outcome, len(steps))
	var group errgroup.Group
	for i, step := range steps {
		action := step.Action
		outcomes[i].Action = action
		if reason := r.skip(step); reason != "" {
			outcomes[i].Skipped = reason
			continue
		}
		turn, ok := r.pace.begin(ctx)
		if !ok {
			outcomes[i].Skipped = "the run was cut off before"
			continue
		}
		group.Go(func() error {
			err := r.pace.try(ctx, turn, func(again bool) error {
				// Asked each time: somebody else may lead by the time that the API server has room.
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
	_ = group.Wait() // every failure is in its outcome
	r.interrupted(ctx)
	for i, outcome := range outcomes {
		done := outcome.Failure == nil && outcome.Skipped == ""
		r.added = r.added || done && outcome.Action.Effect != plans.Removes && plans.IsRouting(outcome.Action.Key.Kind)
		// Of two writes the second tells of both, unless the first was the last.
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

// skip says why an action must not be tried, "" if it may.
func (r *run) skip(step plans.Step) string {
	action := step.Action
	if action.Verb == plans.Delete && len(r.errs) > 0 {
		return "nothing is deleted before everything else is applied"
	}
	if narrows := action.Effect == plans.Removes || step.IsSecondPhase(); narrows && action.Service == "" && len(r.errs) > 0 {
		return "what the cluster has once is not narrowed before everything else is applied"
	}
	if reason := r.unusableNamespaces[action.Key.Namespace]; reason != "" {
		return reason
	}
	return r.blocked[action.Service]
}

func (r *run) count(outcome Outcome) {
	r.result.Outcomes = append(r.result.Outcomes, outcome)
	action := outcome.Action
	if outcome.Skipped != "" {
		r.result.Skipped++
		return
	}
	if outcome.Failure != nil {
		r.result.Failed++
		r.errs = append(r.errs, outcome.Failure)
		if outcome.Failure.Class == Forbidden {
			r.accessCache.forget()
		}
		// The cluster's own resources, of no service, do not depend on one another.
		if action.Service != "" && r.blocked[action.Service] == "" {
			r.blocked[action.Service] = fmt.Sprintf("%s of the same service could not be applied before it", action.Key)
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
