package execute

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

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// write makes the write of a step. With again set it was tried before, and an earlier try may have
// succeeded unnoticed, or may still succeed. That does no harm, because every write names the
// state that it is for:
//
//   - a POST of our own object is an AlreadyExists,
//   - a PUT and a claim have the resourceVersion, which their own success changed: a Conflict,
//   - a DELETE has uid and resourceVersion: the object is gone, or it waits for finalizers: a Conflict.
//
// In each case the object is read. Only if it equals the result of the write was an earlier try
// successful; otherwise another writer was faster, and the write fails as it would have the first
// time.
func (r *run) write(ctx context.Context, step plans.Step, again bool) error {
	action := step.Action
	switch action.Verb {
	case plans.Create:
		return r.create(ctx, action, again)
	case plans.Update:
		return r.update(ctx, step, again)
	case plans.Claim:
		_, err := r.claim(ctx, action.Desired, action.Live, again)
		return err
	case plans.Delete:
		return r.delete(ctx, action, again)
	default:
		return fmt.Errorf("a plan cannot carry out the verb %s; this is a bug in Isthmus", action.Verb)
	}
}

// create never merges into an existing object: the next run plans an object that appeared
// meanwhile.
func (r *run) create(ctx context.Context, action plans.Action, again bool) error {
	written, err := r.resource(action.Desired).Create(ctx, merge.CreateBody(action.Desired, r.owner),
		metav1.CreateOptions{FieldManager: ownership.FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsAlreadyExists(err) {
		return r.resolveAlreadyExists(ctx, action, again, err)
	}
	if err != nil {
		return err
	}
	return r.verify(action.Desired, written)
}

// resolveAlreadyExists finds out whose object appeared since the plan was made.
func (r *run) resolveAlreadyExists(ctx context.Context, action plans.Action, again bool, exists error) error {
	object, err := r.resource(action.Desired).Get(ctx, action.Key.Name, metav1.GetOptions{})
	if isThrottled(err) {
		return err
	}
	if err != nil {
		// Gone again, or unreadable: the next run plans again.
		return &Failure{Class: Conflict, Err: errors.Join(exists, err)}
	}
	r.observer.RecordWrite(object)
	switch possession := (ownership.Owner{ID: r.owner}).Ownership(object); {
	case possession == ownership.Foreign:
		return &Failure{Class: Appeared, Err: errors.New("a foreign object of that name was created meanwhile")}
	case again && possession == ownership.Owned && r.matches(action.Desired, object):
		return nil
	default:
		return &Failure{Class: Conflict, Err: errors.New("it exists already and is ours: the cache was behind")}
	}
}

func (r *run) update(ctx context.Context, step plans.Step, again bool) error {
	action, target := step.Action, step.Target()
	r.mu.Lock()
	live := cmp.Or(r.transitional[action.Key], action.Live)
	r.mu.Unlock()
	written, err := r.resource(target).Update(ctx, merge.UpdateBody(target, live, r.owner),
		metav1.UpdateOptions{FieldManager: ownership.FieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsConflict(err) && again {
		written, err = r.confirmEarlierTry(ctx, target, live, err)
	}
	if apierrors.IsConflict(err) && !step.First {
		written, err = r.retryAfterStatusChange(ctx, target, live, err)
	}
	if class := classify(err); step.First && err != nil && (class == Invalid || class == Forbidden || class == OverQuota) {
		// The union is invalid, which only the API server or a webhook can tell.
		r.recordTransitional(action.Key, live)
		return nil
	}
	if err != nil {
		return err
	}
	if !ownership.ManagedByUs(written) {
		// A PUT does not start managedFields on an object that has none; a server-side apply does.
		written, err = r.claim(ctx, target, written, again)
		if err != nil {
			return err
		}
	}
	if step.First {
		// If the cluster changed the object, the second write shows it.
		r.observer.RecordWrite(written)
		r.recordTransitional(action.Key, written)
		return nil
	}
	return r.verify(target, written)
}

// confirmEarlierTry returns the object if it equals the result of an earlier try, and the conflict
// otherwise.
func (r *run) confirmEarlierTry(ctx context.Context, target, live *unstructured.Unstructured, conflict error) (*unstructured.Unstructured, error) {
	now, err := r.resource(target).Get(ctx, target.GetName(), metav1.GetOptions{})
	switch {
	case isThrottled(err):
		return nil, err
	case err != nil || now.GetUID() != live.GetUID() || !r.matches(target, now):
		return nil, conflict
	default:
		return now, nil
	}
}

// matches tells whether a live object equals the desired one.
func (r *run) matches(desired, live *unstructured.Unstructured) bool {
	return live.GetDeletionTimestamp() == nil && len(merge.Differences(desired, live, r.owner)) == 0
}

// retryAfterStatusChange repeats an update if only the status changed since the plan: istiod
// writes the status of new objects, and a settle time gives it the time to.
func (r *run) retryAfterStatusChange(ctx context.Context, target, live *unstructured.Unstructured, conflict error) (*unstructured.Unstructured, error) {
	now, err := r.resource(target).Get(ctx, target.GetName(), metav1.GetOptions{})
	if isThrottled(err) {
		return nil, err
	}
	if err != nil || !clustercache.SameIntent(live, now) {
		return nil, conflict
	}
	return r.resource(target).Update(ctx, merge.UpdateBody(target, now, r.owner),
		metav1.UpdateOptions{FieldManager: ownership.FieldManager, FieldValidation: metav1.FieldValidationStrict})
}

// recordTransitional notes an object after the first of its two writes.
func (r *run) recordTransitional(key render.Key, now *unstructured.Unstructured) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transitional[key] = now
}

// claim applies only the label, which makes us a manager of it beside the others. The uid and the
// resourceVersion keep it from creating an object or changing another one.
func (r *run) claim(ctx context.Context, desired, live *unstructured.Unstructured, again bool) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": live.GetAPIVersion(), "kind": live.GetKind(),
		"metadata": map[string]any{
			"name": live.GetName(), "namespace": live.GetNamespace(),
			"uid": live.GetUID(), "resourceVersion": live.GetResourceVersion(),
			"labels": map[string]string{ownership.LabelPartOf: r.owner},
		},
	})
	if err != nil {
		return nil, err
	}
	written, err := r.resource(live).Patch(ctx, live.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: ownership.FieldManager})
	if apierrors.IsConflict(err) && again {
		conflict := err
		if written, err = r.confirmEarlierTry(ctx, desired, live, conflict); err == nil && !ownership.ManagedByUs(written) {
			err = conflict
		}
	}
	if err != nil {
		return nil, err
	}
	r.observer.RecordWrite(written)
	return written, nil
}

func (r *run) delete(ctx context.Context, action plans.Action, again bool) error {
	uid, version := action.Live.GetUID(), action.Live.GetResourceVersion()
	err := r.resource(action.Live).Delete(ctx, action.Key.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if apierrors.IsConflict(err) && again {
		now, unread := r.resource(action.Live).Get(ctx, action.Key.Name, metav1.GetOptions{})
		switch {
		case isThrottled(unread):
			return unread
		case apierrors.IsNotFound(unread) && classify(unread) != NoSuchKind:
			err = nil // an earlier try succeeded
		case unread == nil && now.GetUID() == uid && now.GetDeletionTimestamp() != nil:
			err = nil // it waits for finalizers
		}
	}
	if err != nil && (!apierrors.IsNotFound(err) || classify(err) == NoSuchKind) {
		return err
	}
	r.observer.RecordDelete(action.Live)
	return nil
}

// verify compares the stored object with the sent one. If the cluster changes an object on
// writing, every run would see a difference and write again.
func (r *run) verify(desired, written *unstructured.Unstructured) error {
	r.observer.RecordWrite(written)
	fields := merge.Differences(desired, written, r.owner)
	if len(fields) == 0 {
		return nil
	}
	return &Failure{Class: Altered, Err: fmt.Errorf("the cluster stored other values in %s", strings.Join(fields, ", "))}
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
	// Not a managed kind, which render rejects; the API server will answer that it is unknown.
	return gvk.GroupVersion().WithResource(strings.ToLower(gvk.Kind))
}
