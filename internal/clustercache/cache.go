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

// syncPollInterval is how often [Cache.Snapshot] checks whether the first list of a kind has
// arrived.
const syncPollInterval = 10 * time.Millisecond

// State is what the cluster has at one moment.
type State struct {
	// Objects are all objects of the managed kinds, or those of a [Selector], in no order. They
	// must not be changed. A foreign object has only its key and labels, a foreign Gateway also
	// its AUTO_PASSTHROUGH servers, and a foreign Service that is reached from outside also its
	// selector, ports and addresses.
	Objects []*unstructured.Unstructured
	// Namespaces are all namespaces by name.
	Namespaces map[string]Namespace
	// Adoptable are complete foreign objects that spec.adopt selects.
	Adoptable map[render.Key]*unstructured.Unstructured
	// Missing are the managed kinds that the cluster does not know.
	Missing []istio.Kind
}

// Lacks tells whether the cluster does not know a kind.
func (v State) Lacks(kind string) bool {
	return slices.ContainsFunc(v.Missing, func(missing istio.Kind) bool { return missing.Kind == kind })
}

// Cache watches the managed kinds and the namespaces, and answers from memory.
//
// It uses the informers of client-go directly and not a controller-runtime cache, because it has
// to know for each kind why it cannot be watched, and to continue with the others. It needs no
// discovery: the kinds are a fixed list. A missing CRD is a 404 of its list, which is repeated
// until the CRD exists.
type Cache struct {
	watches       []*kindWatch
	namespaces    *kindWatch
	pendingWrites *pendingWrites
	changes       *changeLog
	notify        func(render.Key)
}

// New returns a cache that reads through client, which should not be throttled. Nothing is watched
// before Start.
//
// The function notify, if not nil, is called when another writer creates, changes or deletes an
// object with one of our marks or a Gateway for other clusters, and when a missing kind or an
// absent namespace may have changed. It is not called for the first list, for changes of status,
// and mostly not for our own writes. It must not block.
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
		// A deleted namespace may be created again.
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

// NeedLeaderElection is false: a standby watches as well, so that it can take over at once.
func (l *Cache) NeedLeaderElection() bool { return false }

// Snapshot returns what the cluster has. The first call waits, as long as ctx allows, for the
// first list of every kind; later calls answer from memory. A kind without a CRD is listed in
// [State.Missing]. A kind that may not be listed or watched is an error, because a plan without it
// would be wrong.
func (l *Cache) Snapshot(ctx context.Context) (State, error) {
	return l.snapshot(ctx, func(watch *kindWatch) []any { return watch.informer.GetStore().List() }, func(render.Key) bool { return true })
}

// snapshot returns the objects that list returns for each kind; wanted tells which of our own
// pending writes belong to them.
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
		// Every kind has answered by now, so the error names all forbidden kinds.
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

// Selector selects a part of what a cluster has.
type Selector struct {
	// Keys are single objects; Services are services whose objects are selected by label.
	Keys     sets.Set[render.Key]
	Services sets.Set[string]
	// Policies are namespaces whose AuthorizationPolicies are selected.
	Policies sets.Set[string]
}

// ChangedSince returns the objects that may have changed since a number, and the number to ask
// with next; known is false if the changes are no longer remembered. Our own writes that the watch
// has not shown yet are always among them.
func (l *Cache) ChangedSince(since uint64) (changed []render.Key, next uint64, known bool) {
	changed, next, known = l.changes.since(since)
	return append(changed, l.pendingWrites.keys()...), next, known
}

// Select is [Cache.Snapshot] for a part. The objects that package preflight compares are always in
// it.
func (l *Cache) Select(ctx context.Context, scope Selector) (State, error) {
	return l.snapshot(ctx, func(watch *kindWatch) []any { return watch.within(scope) }, scope.Keys.Has)
}

// objects are the objects that list returns for one kind, with our own writes that the watch has
// not shown yet.
func (l *Cache) objects(watch *kindWatch, list func() []any, wanted func(render.Key) bool) []*unstructured.Unstructured {
	// Read the version before the list: everything up to it is then in the list, or never will be.
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

// RecordWrite makes the next snapshot show an object as it was written.
func (l *Cache) RecordWrite(object *unstructured.Unstructured) { l.recordPending(object, false) }

// RecordDelete makes the next snapshot omit an object.
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
				return // The first snapshot has it.
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

// SameIntent tells whether two versions of an object differ in status only. istiod writes the
// status often, and a plan does not depend on it.
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
	return fmt.Errorf("the controller may not list and watch %s, so nothing is changed; its role needs the verbs list and watch for them: %w",
		strings.Join(forbidden, ", "), err)
}

func isForbidden(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

var errNotSynced = errors.New("no answer yet")

// GetFull reads a foreign object, which a state holds without its content, because an adoption
// compares it field by field. The result is stripped like an object of ours.
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
	return nil, fmt.Errorf("the kind of %s is not watched", render.KeyOf(foreign))
}
