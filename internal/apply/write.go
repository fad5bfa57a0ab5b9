package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// carryOut makes the writes of a step. With again they were tried before, and any of them may have been carried out without our hearing of it, then or
// even later, by an API server that still has the request. Neither does harm, since every write says which state it is for:
//
//   - a POST meets its own object and is an AlreadyExists,
//   - a PUT and a claim carry the resourceVersion, which their own success changed, and are a Conflict,
//   - a DELETE carries uid and resourceVersion: the object is gone, or waits for finalizers and is a Conflict.
//
// In each of these cases the object is read. Only if it is what the write would make of it was the write carried out; otherwise somebody else was faster, and it
// fails as it would have the first time.
func (r *run) carryOut(ctx context.Context, step step, again bool) error {
	action := step.action
	switch action.Verb {
	case Create:
		return r.create(ctx, action, again)
	case Update:
		return r.update(ctx, step, again)
	case Claim:
		_, err := r.claim(ctx, action.desired, action.live, again)
		return err
	case Delete:
		return r.delete(ctx, action, again)
	default:
		return fmt.Errorf("a plan cannot %s anything; this is a defect of Isthmus", action.Verb)
	}
}

// create never merges into what is there: an object that appeared since the plan was made is looked at by the next one.
func (r *run) create(ctx context.Context, action Action, again bool) error {
	written, err := r.resource(action.desired).Create(ctx, create(action.desired, r.owner),
		metav1.CreateOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsAlreadyExists(err) {
		return r.appeared(ctx, action, again, err)
	}
	if err != nil {
		return err
	}
	return r.verify(action.desired, written)
}

// appeared finds out whose the object is that was not there when the plan was made.
func (r *run) appeared(ctx context.Context, action Action, again bool, exists error) error {
	object, err := r.resource(action.desired).Get(ctx, action.Key.Name, metav1.GetOptions{})
	if tooBusy(err) {
		return err
	}
	if err != nil {
		// Gone again, or unreadable: the next run looks anew.
		return &Failure{Class: Conflict, Err: errors.Join(exists, err)}
	}
	r.observer.Wrote(object)
	switch possession := (Owner{ID: r.owner}).Possession(object); {
	case possession == Foreign:
		return &Failure{Class: Appeared, Err: errors.New("an object of that name appeared meanwhile that Isthmus did not write")}
	case again && possession == Owned && r.is(action.desired, object):
		return nil
	default:
		return &Failure{Class: Conflict, Err: errors.New("it is there already and is ours: this view of the cluster was behind")}
	}
}

func (r *run) update(ctx context.Context, step step, again bool) error {
	action, target := step.action, step.target()
	r.mu.Lock()
	live := cmp.Or(r.begun[action.Key], action.live)
	r.mu.Unlock()
	written, err := r.resource(target).Update(ctx, update(target, live, r.owner),
		metav1.UpdateOptions{FieldManager: FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsConflict(err) && again {
		written, err = r.heard(ctx, target, live, err)
	}
	if apierrors.IsConflict(err) && !step.first {
		written, err = r.anew(ctx, target, live, err)
	}
	if class := classify(err); step.first && err != nil && (class == Invalid || class == Forbidden || class == OverQuota) {
		// The two cannot stand together, which only the API server, or a webhook of the cluster, knew.
		r.begin(action.Key, live)
		return nil
	}
	if err != nil {
		return err
	}
	if !writtenByUs(written) {
		// An object whose managedFields are empty does not get any by a PUT, only by an apply.
		written, err = r.claim(ctx, target, written, again)
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

// heard returns the object of a write that conflicts if it is what an earlier try would have made of it, and the conflict otherwise.
func (r *run) heard(ctx context.Context, target, live *unstructured.Unstructured, conflict error) (*unstructured.Unstructured, error) {
	now, err := r.resource(target).Get(ctx, target.GetName(), metav1.GetOptions{})
	switch {
	case tooBusy(err):
		return nil, err
	case err != nil || now.GetUID() != live.GetUID() || !r.is(target, now):
		return nil, conflict
	default:
		return now, nil
	}
}

// is tells whether an object is as it shall be.
func (r *run) is(desired, live *unstructured.Unstructured) bool {
	return live.GetDeletionTimestamp() == nil && len(differences(desired, live, r.owner)) == 0
}

// anew updates an object once more of which only the version is another one than was looked at: Istio writes the status of what it is
// given, and a pause leaves it time to.
func (r *run) anew(ctx context.Context, target, live *unstructured.Unstructured, conflict error) (*unstructured.Unstructured, error) {
	now, err := r.resource(target).Get(ctx, target.GetName(), metav1.GetOptions{})
	if tooBusy(err) {
		return nil, err
	}
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
func (r *run) claim(ctx context.Context, desired, live *unstructured.Unstructured, again bool) (*unstructured.Unstructured, error) {
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
	if apierrors.IsConflict(err) && again {
		conflict := err
		if written, err = r.heard(ctx, desired, live, conflict); err == nil && !writtenByUs(written) {
			err = conflict
		}
	}
	if err != nil {
		return nil, err
	}
	r.observer.Wrote(written)
	return written, nil
}

func (r *run) delete(ctx context.Context, action Action, again bool) error {
	uid, version := action.live.GetUID(), action.live.GetResourceVersion()
	err := r.resource(action.live).Delete(ctx, action.Key.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if apierrors.IsConflict(err) && again {
		now, unread := r.resource(action.live).Get(ctx, action.Key.Name, metav1.GetOptions{})
		switch {
		case tooBusy(unread):
			return unread
		case apierrors.IsNotFound(unread) && classify(unread) != NoSuchKind:
			err = nil // The first try was under way still.
		case unread == nil && now.GetUID() == uid && now.GetDeletionTimestamp() != nil:
			err = nil // Finalizers are waited for.
		}
	}
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
