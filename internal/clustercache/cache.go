package clustercache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// settling is how often [Live.Look] checks whether a first list has arrived.
const syncPollInterval = 10 * time.Millisecond

// View is what the cluster has, at one moment.
type State struct {
	// Objects are all objects of the managed kinds, or those of a [Scope], in no order. They must not be changed. Foreign
	// ones are stripped to their key and labels; of a Gateway the AUTO_PASSTHROUGH servers stay, of a Service that is reached from outside its selector, ports and addresses.
	Objects []*unstructured.Unstructured
	// Namespaces are all namespaces by name.
	Namespaces map[string]Namespace
	// Adoptable are foreign objects, whole, that the owner asked to have taken over if the bundle has them.
	Adoptable map[render.Key]*unstructured.Unstructured
	// Missing are the managed kinds that the cluster does not know.
	Missing []istio.Kind
}

func (v State) Lacks(kind string) bool {
	return slices.ContainsFunc(v.Missing, func(missing istio.Kind) bool { return missing.Kind == kind })
}

// Live watches the managed kinds and the namespaces, and shows them without asking the API server.
//
// It stands on client-go's informers directly and not on a controller-runtime cache, since it has to know of each
// kind why it cannot be watched, and to go on with the others. It needs no discovery: the kinds are a fixed list,
// and a missing CRD shows as a 404 of its list, which is tried again until it is there.
type Cache struct {
	watches       []*kindWatch
	namespaces    *kindWatch
	pendingWrites *pendingWrites
	changes       *changeLog
	notify        func(render.Key)
}

// NewLive makes a view through client, which should not be throttled on its side. Nothing is watched before Start.
//
// The function notify, if not nil, is called when somebody else changed or deleted an object that carries one of our marks or a gateway for other clusters, or made
// one, and when a missing kind or an absent namespace may have changed; not for the first list, not for
// changes of status, and mostly not for our own writes. It must not block.
func New(client dynamic.Interface, kinds []istio.Kind, notify func(render.Key)) *Cache {
	if notify == nil {
		notify = func(render.Key) {}
	}
	live := &Cache{
		notify:        notify,
		changes:       &changeLog{},
		pendingWrites: &pendingWrites{now: time.Now, byKey: map[render.Key]pendingWrite{}},
	}
	for _, kind := range kinds {
		resource := client.Resource(kind.GroupVersion().WithResource(kind.Resource))
		live.watches = append(live.watches, newKindWatch(kind, resource, live.handler(), func() {
			notify(render.Key{Kind: kind.Kind})
		}))
	}
	namespace := istio.Kind{GroupVersionKind: NamespaceResource.GroupVersion().WithKind("Namespace"), Resource: NamespaceResource.Resource}
	live.namespaces = newKindWatch(namespace, client.Resource(NamespaceResource), cache.ResourceEventHandlerFuncs{
		// A namespace that is gone may be made anew.
		DeleteFunc: func(object any) {
			if gone := cachedObjectOf(object); gone != nil {
				notify(gone.key)
			}
		},
	}, func() {})
	return live
}

// Start watches until ctx ends.
func (l *Cache) Start(ctx context.Context) error {
	var group sync.WaitGroup
	for _, watch := range append(slices.Clone(l.watches), l.namespaces) {
		group.Go(func() { watch.informer.RunWithContext(ctx) })
	}
	group.Wait()
	return nil
}

// NeedLeaderElection lets a standby watch too, so that it can take over at once.
func (l *Cache) NeedLeaderElection() bool { return false }

// Look returns what the cluster has. The first time it waits, as long as ctx allows, for the first list of every
// kind; after that it answers from memory. A kind without a CRD is reported in the view; one that may not be
// listed or watched is an error, since a plan made without it would be wrong.
func (l *Cache) Snapshot(ctx context.Context) (State, error) {
	return l.snapshot(ctx, func(watch *kindWatch) []any { return watch.informer.GetStore().List() }, func(render.Key) bool { return true })
}

// look shows what list gives of each kind; wanted tells which of our own writes belong to it.
func (l *Cache) snapshot(ctx context.Context, list func(*kindWatch) []any, wanted func(render.Key) bool) (State, error) {
	all := append(slices.Clone(l.watches), l.namespaces)
	missing := make([]bool, len(all))
	var unread error
	for i, watch := range all {
		var err error
		missing[i], err = watch.waitForSync(ctx)
		if err != nil && unread == nil {
			unread = err
		}
		if err != nil && !isForbidden(err) {
			break
		}
	}
	if unread != nil {
		// By then every kind has answered, so that all that may not be read are named.
		return State{}, describe(all, unread)
	}
	view := State{Namespaces: l.allNamespaces()}
	for i, watch := range l.watches {
		if missing[i] {
			view.Missing = append(view.Missing, watch.kind)
			continue
		}
		view.Objects = append(view.Objects, l.objects(watch, func() []any { return list(watch) }, wanted)...)
	}
	return view, nil
}

func (l *Cache) allNamespaces() map[string]Namespace {
	all := map[string]Namespace{}
	for _, item := range l.namespaces.informer.GetStore().List() {
		namespace := item.(*cachedObject)
		all[namespace.key.Name] = namespace.namespace
	}
	return all
}

// Scope is a part of what a cluster has.
type Selector struct {
	// Keys are single objects, Services those of whom all objects are looked at, by the label.
	Keys     sets.Set[render.Key]
	Services sets.Set[string]
	// Policies are namespaces whose AuthorizationPolicies are looked at.
	Policies sets.Set[string]
}

// Changed tells which objects may have changed since that number was given out; known is false if nobody remembers. What was written and not been seen by
// the watch yet is always among them.
func (l *Cache) ChangedSince(since uint64) (changed []render.Key, next uint64, known bool) {
	changed, next, known = l.changes.since(since)
	return append(changed, l.pendingWrites.keys()...), next, known
}

// LookFor is [Live.Look] for a part; what package preflight looks at is always in it.
func (l *Cache) Select(ctx context.Context, scope Selector) (State, error) {
	return l.snapshot(ctx, func(watch *kindWatch) []any { return watch.within(scope) }, scope.Keys.Has)
}

// objects are those that list gives of one kind, with our own writes that the watch has not shown yet.
func (l *Cache) objects(watch *kindWatch, list func() []any, wanted func(render.Key) bool) []*unstructured.Unstructured {
	// Read before the list: then everything up to it is in the list, or will never be.
	version := watch.informer.LastSyncResourceVersion()
	items := list()
	objects := make([]*unstructured.Unstructured, 0, len(items))
	seen := make(map[render.Key]struct{}, len(items))
	for _, item := range items {
		cached := item.(*cachedObject)
		if _, twice := seen[cached.key]; twice {
			continue
		}
		seen[cached.key] = struct{}{}
		if object := l.pendingWrites.resolve(cached); object != nil {
			objects = append(objects, object.decode())
		}
	}
	for _, object := range l.pendingWrites.missing(watch.kind.Kind, seen, version) {
		if wanted(object.key) {
			objects = append(objects, object.decode())
		}
	}
	return objects
}

// Wrote makes the next look show what was written, whether the watch has brought it or not.
func (l *Cache) RecordWrite(object *unstructured.Unstructured) { l.recordPending(object, false) }

// Deleted makes the next look not show that object.
func (l *Cache) RecordDelete(object *unstructured.Unstructured) { l.recordPending(object, true) }

func (l *Cache) recordPending(object *unstructured.Unstructured, deleted bool) {
	item, err := toCached(object)
	if kept, ok := item.(*cachedObject); ok && err == nil {
		l.pendingWrites.record(kept, deleted)
		l.changes.record(kept.key)
	}
}

func (l *Cache) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(item any, initial bool) {
			object := cachedObjectOf(item)
			if object == nil || initial {
				return // The first list is looked at as a whole.
			}
			l.changes.record(object.key)
			if object.triggersReconcile() && !l.pendingWrites.isEcho(object) {
				l.notify(object.key)
			}
		},
		UpdateFunc: func(before, after any) {
			was, is := cachedObjectOf(before), cachedObjectOf(after)
			if was == nil || is == nil {
				return
			}
			l.changes.record(is.key)
			if (was.triggersReconcile() || is.triggersReconcile()) && !l.pendingWrites.isEcho(is) && !SameIntent(was.decode(), is.decode()) {
				l.notify(is.key)
			}
		},
		DeleteFunc: func(item any) {
			object := cachedObjectOf(item)
			if object == nil {
				return
			}
			l.changes.record(object.key)
			if !l.pendingWrites.onDelete(object) && object.triggersReconcile() {
				l.notify(object.key)
			}
		},
	}
}

// sameIntent tells a change of status, which istiod makes all the time, from one that a plan must look at.
func SameIntent(was, is *unstructured.Unstructured) bool {
	return was.GetUID() == is.GetUID() &&
		was.GetDeletionTimestamp().Equal(is.GetDeletionTimestamp()) &&
		ownership.ManagedByUs(was) == ownership.ManagedByUs(is) &&
		equality.Semantic.DeepEqual(was.GetLabels(), is.GetLabels()) &&
		equality.Semantic.DeepEqual(was.GetAnnotations(), is.GetAnnotations()) &&
		equality.Semantic.DeepEqual(was.Object["spec"], is.Object["spec"])
}

func cachedObjectOf(item any) *cachedObject {
	if tombstone, ok := item.(cache.DeletedFinalStateUnknown); ok {
		item = tombstone.Obj
	}
	object, _ := item.(*cachedObject)
	return object
}

// describe names every kind that cannot be read, and not only the first.
func describe(watches []*kindWatch, err error) error {
	var forbidden []string
	for _, watch := range watches {
		if isForbidden(watch.lastError()) {
			forbidden = append(forbidden, watch.kind.GroupVersion().WithResource(watch.kind.Resource).GroupResource().String())
		}
	}
	if len(forbidden) == 0 {
		return err
	}
	return fmt.Errorf("these rights do not let %s be listed and watched, so nothing is changed; their role needs the verbs list and watch for them: %w",
		strings.Join(forbidden, ", "), err)
}

func isForbidden(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

var errNotSynced = errors.New("no answer yet")

// Whole reads a foreign object, of which a view only has the key and a few labels: one that may be adopted is compared field by field. It is stripped
// as one of ours is.
func (l *Cache) GetFull(ctx context.Context, foreign *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	for _, watch := range l.watches {
		if watch.kind.Kind != foreign.GetKind() {
			continue
		}
		object, err := watch.resource.Namespace(foreign.GetNamespace()).Get(ctx, foreign.GetName(), metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read %s, which may be adopted: %w", render.KeyOf(foreign), err)
		}
		return stripMarked(object), nil
	}
	return nil, fmt.Errorf("%s is of no kind that is watched", render.KeyOf(foreign))
}
