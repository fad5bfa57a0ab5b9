package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// sideBySide is how many writes of one stage are under way at once. Measured against one API server, 16 is little
// faster than 8 and leaves less for everybody else.
const sideBySide = 8

// Observer learns of our own writes, so that the next plan need not wait for the watch. [Live] is one.
type Observer interface {
	// Wrote is told what the API server answered to a create, update or claim, or to a read.
	Wrote(object *unstructured.Unstructured)
	// Deleted is told which object, in which state, was deleted.
	Deleted(object *unstructured.Unstructured)
}

// Applier carries plans out.
type Applier struct {
	client   dynamic.Interface
	observer Observer
	pause    time.Duration
	wait     func(context.Context, time.Duration)
	granted  granted
	fence    func(context.Context) error
}

// Pause makes the applier wait, within a plan, after what widens and before what narrows, so that proxies learn of the new before they lose the
// old. Only a plan that does both waits, and never longer than half of what its context has left. The function wait ends when ctx does.
func (a *Applier) Pause(pause time.Duration, wait func(ctx context.Context, pause time.Duration)) *Applier {
	a.pause, a.wait = pause, wait
	return a
}

// NewApplier makes an applier that writes through client. The client should not be throttled on its side (QPS -1 in
// its rest.Config): the API server sees to fairness. The observer is mostly the [Live] that plans are made
// from; it may be nil.
func NewApplier(client dynamic.Interface, observer Observer) *Applier {
	if observer == nil {
		observer = nobody{}
	}
	return &Applier{client: client, observer: observer}
}

type nobody struct{}

func (nobody) Wrote(*unstructured.Unstructured)   {}
func (nobody) Deleted(*unstructured.Unstructured) {}

// Outcome is what became of one action that writes.
type Outcome struct {
	Action Action
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
	Known Record
}

// Wrote reports how many writes succeeded.
func (r Result) Wrote() int { return r.Created + r.Updated + r.Claimed + r.Adopted + r.Deleted }

// Apply carries the plan out: namespaces, then all that widens, kind by kind, then all that narrows, the other way round; what is deleted
// only if all that was written before succeeded. A write that fails keeps later ones of the same service and all deletes from
// being tried, and nothing else. A plan without writes sends no request, and a braked one neither.
//
// The error joins every [*Failure] and is nil only if the whole plan was carried out; the result is valid in
// either case. What was written before ctx ended stays, and the next run goes on from there.
func (a *Applier) Apply(ctx context.Context, plan Plan) (Result, error) {
	if plan.Brake != nil {
		return Result{Unchanged: plan.Unchanged, Known: maps.Clone(plan.known)}, &BrakedError{Brake: *plan.Brake}
	}
	run := &run{
		Applier: a, owner: plan.owner, blocked: map[string]string{}, unusable: map[string]string{}, begun: map[render.Key]*unstructured.Unstructured{},
		result: Result{Unchanged: plan.Unchanged, Known: maps.Clone(plan.known)},
	}
	if plan.Writes() {
		if err := run.leads(ctx); err != nil {
			return run.result, fmt.Errorf("nothing was written: %w", err)
		}
	}
	run.namespaces(ctx, plan)
	all, beforePause := stages(plan.Actions)
	for i, stage := range all {
		if i == beforePause {
			run.settle(ctx)
		}
		run.stage(ctx, stage)
	}
	return run.result, errors.Join(run.errs...)
}

// run is one execution of one plan.
type run struct {
	*Applier
	owner  string
	result Result
	errs   []error
	// blocked names, for a service, the write that failed; unusable, for a namespace, why it is not there.
	blocked, unusable map[string]string
	cutOff            bool
	// begun are the objects of which the first of two writes is done, as they are now.
	mu    sync.Mutex
	begun map[render.Key]*unstructured.Unstructured
	// widened: something that proxies have to learn of was written.
	widened bool
	led     led
}

// settle waits until proxies have learned of what was widened.
func (r *run) settle(ctx context.Context) {
	if r.wait == nil || r.pause <= 0 || !r.widened {
		return
	}
	pause := r.pause
	if deadline, ok := ctx.Deadline(); ok {
		pause = min(pause, time.Until(deadline)/2)
	}
	r.wait(ctx, pause)
}

func (r *run) namespaces(ctx context.Context, plan Plan) {
	for _, name := range plan.Namespaces {
		if r.ended(ctx) {
			return
		}
		if err := createNamespace(ctx, r.client, name, plan.NamespaceLabels); err != nil {
			r.unusable[name] = "namespace " + name + " could not be created"
			r.errs = append(r.errs, err)
			continue
		}
		r.result.Namespaces = append(r.result.Namespaces, name)
	}
}

// ended notes, once, that the run was cut off.
func (r *run) ended(ctx context.Context) bool {
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
func (r *run) stage(ctx context.Context, steps []step) {
	// Of an action whose first write failed that was the outcome.
	steps = slices.DeleteFunc(steps, func(s step) bool { return s.second() && r.begun[s.action.Key] == nil })
	outcomes := make([]Outcome, len(steps))
	var group errgroup.Group
	group.SetLimit(sideBySide)
	for i, step := range steps {
		action := step.action
		outcomes[i].Action = action
		if reason := r.skip(step); reason != "" {
			outcomes[i].Skipped = reason
			continue
		}
		group.Go(func() error {
			// Looked at again here: the run may end while this waits for its turn.
			if ctx.Err() != nil {
				outcomes[i].Skipped = "the run was cut off before"
				return nil
			}
			err := r.leads(ctx)
			if err == nil {
				err = r.carryOut(ctx, step)
			}
			if err != nil {
				outcomes[i].Failure = failure(action, err)
			}
			return nil
		})
	}
	_ = group.Wait() // every failure is in its outcome
	r.ended(ctx)
	for i, outcome := range outcomes {
		done := outcome.Failure == nil && outcome.Skipped == ""
		r.widened = r.widened || done && outcome.Action.Effect != Narrows && isRouting(outcome.Action.Key.Kind)
		// Of two writes the second tells of both, unless the first was the last.
		switch {
		case done && steps[i].first:
			delete(r.result.Known, outcome.Action.Key)
		case !done && steps[i].second():
			r.updated(outcome.Action)
			r.count(outcome)
		default:
			r.count(outcome)
		}
	}
}

// skip says why an action must not be tried, "" if it may.
func (r *run) skip(step step) string {
	action := step.action
	if action.Verb == Delete && len(r.errs) > 0 {
		return "nothing is deleted before everything else is applied"
	}
	if narrows := action.Effect == Narrows || step.second(); narrows && action.Service == "" && len(r.errs) > 0 {
		return "what the cluster has once is not narrowed before everything else is applied"
	}
	if reason := r.unusable[action.Key.Namespace]; reason != "" {
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
			r.granted.forget()
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
	case Create:
		r.result.Created++
	case Update:
		r.updated(action)
	case Claim:
		r.result.Claimed++
	case Delete:
		r.result.Deleted++
		return
	}
	r.result.Known[action.Key] = action.hash
}

func (r *run) updated(action Action) {
	if action.Adopts {
		r.result.Adopted++
		return
	}
	r.result.Updated++
}

func (r *run) carryOut(ctx context.Context, step step) error {
	action := step.action
	switch action.Verb {
	case Create:
		return r.create(ctx, action)
	case Update:
		return r.update(ctx, step)
	case Claim:
		_, err := r.claim(ctx, action.live)
		return err
	case Delete:
		return r.delete(ctx, action)
	default:
		return fmt.Errorf("a plan cannot %s anything; this is a defect of Isthmus", action.Verb)
	}
}

// create never merges into what is there: an object that appeared since the plan was made is looked at by the next one.
func (r *run) create(ctx context.Context, action Action) error {
	written, err := r.resource(action.desired).Create(ctx, create(action.desired, r.owner),
		metav1.CreateOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsAlreadyExists(err) {
		return r.appeared(ctx, action, err)
	}
	if err != nil {
		return err
	}
	return r.verify(action.desired, written)
}

// appeared finds out whose the object is that was not there when the plan was made.
func (r *run) appeared(ctx context.Context, action Action, exists error) error {
	object, err := r.resource(action.desired).Get(ctx, action.Key.Name, metav1.GetOptions{})
	if err != nil {
		// Gone again, or unreadable: the next run looks anew.
		return &Failure{Class: Conflict, Err: errors.Join(exists, err)}
	}
	r.observer.Wrote(object)
	if (Owner{ID: r.owner}).Possession(object) == Foreign {
		return &Failure{Class: Appeared, Err: errors.New("an object of that name appeared meanwhile that Isthmus did not write")}
	}
	return &Failure{Class: Conflict, Err: errors.New("it is there already and is ours: this view of the cluster was behind")}
}

func (r *run) update(ctx context.Context, step step) error {
	action, target := step.action, step.target()
	r.mu.Lock()
	live := cmp.Or(r.begun[action.Key], action.live)
	r.mu.Unlock()
	written, err := r.resource(target).Update(ctx, update(target, live, r.owner),
		metav1.UpdateOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsConflict(err) && !step.first {
		written, err = r.again(ctx, target, live, err)
	}
	if class := classify(err); step.first && err != nil && (class == Invalid || class == Forbidden) {
		// The two cannot stand together, which only the API server, or a webhook of the cluster, knew.
		r.begin(action.Key, live)
		return nil
	}
	if err != nil {
		return err
	}
	if !writtenByUs(written) {
		// An object whose managedFields are empty does not get any by a PUT, only by an apply.
		written, err = r.claim(ctx, written)
		if err != nil {
			return err
		}
	}
	if step.first {
		// Should the cluster have made something else of it, the second write tells.
		r.observer.Wrote(written)
		r.begin(action.Key, written)
		return nil
	}
	return r.verify(target, written)
}

// again updates an object once more of which only the version is another one than was looked at: Istio writes the status of what it is
// given, and a pause leaves it time to.
func (r *run) again(ctx context.Context, target, live *unstructured.Unstructured, conflict error) (*unstructured.Unstructured, error) {
	now, err := r.resource(target).Get(ctx, target.GetName(), metav1.GetOptions{})
	if err != nil || !sameIntent(live, now) {
		return nil, conflict
	}
	return r.resource(target).Update(ctx, update(target, now, r.owner),
		metav1.UpdateOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
}

// begin notes how an object is after the first of its two writes.
func (r *run) begin(key render.Key, now *unstructured.Unstructured) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun[key] = now
}

// claim applies nothing but the label, which makes us a manager of it beside whoever else is. The uid and
// the resourceVersion keep it from creating an object, or touching another one than was looked at.
func (r *run) claim(ctx context.Context, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": live.GetAPIVersion(), "kind": live.GetKind(),
		"metadata": map[string]any{
			"name": live.GetName(), "namespace": live.GetNamespace(),
			"uid": live.GetUID(), "resourceVersion": live.GetResourceVersion(),
			"labels": map[string]string{LabelPartOf: r.owner},
		},
	})
	if err != nil {
		return nil, err
	}
	written, err := r.resource(live).Patch(ctx, live.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return nil, err
	}
	r.observer.Wrote(written)
	return written, nil
}

func (r *run) delete(ctx context.Context, action Action) error {
	uid, version := action.live.GetUID(), action.live.GetResourceVersion()
	err := r.resource(action.live).Delete(ctx, action.Key.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if err != nil && (!apierrors.IsNotFound(err) || classify(err) == NoSuchKind) {
		return err
	}
	r.observer.Deleted(action.live)
	return nil
}

// verify compares what was stored with what was sent. Where the cluster makes something else of it, each run would
// see a difference and write again, for ever and unseen.
func (r *run) verify(desired, written *unstructured.Unstructured) error {
	r.observer.Wrote(written)
	fields := differences(desired, written, r.owner)
	if len(fields) == 0 {
		return nil
	}
	return &Failure{Class: Altered, Err: fmt.Errorf("the cluster stored something else in %s", strings.Join(fields, ", "))}
}

func (r *run) resource(object *unstructured.Unstructured) dynamic.ResourceInterface {
	return r.client.Resource(resourceOf(object.GroupVersionKind())).Namespace(object.GetNamespace())
}

// resourceOf needs no discovery: the kinds are a fixed list.
func resourceOf(gvk schema.GroupVersionKind) schema.GroupVersionResource {
	for _, kind := range istio.Kinds {
		if kind.Kind == gvk.Kind && kind.Group == gvk.Group {
			return kind.GroupVersion().WithResource(kind.Resource)
		}
	}
	// Not a managed kind, which render refuses; the API server will say that it does not know it.
	return gvk.GroupVersion().WithResource(strings.ToLower(gvk.Kind))
}
