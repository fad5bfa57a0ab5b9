package clustercache

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// kindWatch is the cache of one kind, and the error if it cannot be filled.
type kindWatch struct {
	kind     istio.Kind
	resource dynamic.NamespaceableResourceInterface
	informer cache.SharedIndexInformer
	// recovered is called when the first list or watch after a failure succeeds.
	recovered func()

	mu  sync.Mutex
	err error
}

func newKindWatch(kind istio.Kind, resource dynamic.NamespaceableResourceInterface, handler cache.ResourceEventHandler, recovered func()) *kindWatch {
	w := &kindWatch{kind: kind, resource: resource, recovered: recovered}
	// Every list and watch passes here, so the last error is always known.
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := resource.List(ctx, options)
			w.recordError(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			events, err := resource.Watch(ctx, options)
			w.recordError(ctx, err)
			return events, err
		},
	}
	example := &unstructured.Unstructured{}
	example.SetGroupVersionKind(kind.GroupVersionKind)
	w.informer = cache.NewSharedIndexInformerWithOptions(source, example,
		cache.SharedIndexInformerOptions{ObjectDescription: kind.Resource, Indexers: indexers})
	// These fail only for an informer that was started.
	must(w.informer.SetTransform(toCached))
	must(w.informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {
		// recordError keeps the error, and Snapshot returns it.
	}))
	_, err := w.informer.AddEventHandler(handler)
	must(err)
	return w
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (w *kindWatch) recordError(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	failedBefore := w.err != nil
	w.err = err
	w.mu.Unlock()
	if failedBefore && err == nil {
		w.recovered()
	}
}

func (w *kindWatch) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// waitForSync waits until the kind has been listed once, or is known to be missing or forbidden.
// The result is for the snapshot that asked: a kind that appears meanwhile is not listed yet.
func (w *kindWatch) waitForSync(ctx context.Context) (missing bool, err error) {
	if settled, missing, err := w.syncState(); settled {
		return missing, err
	}
	ticker := time.NewTicker(syncPollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			err := w.lastError()
			if err == nil {
				err = errNotSynced
			}
			return false, fmt.Errorf("%s could not be listed in time, so nothing is changed: %w", w.kind.Resource, err)
		case <-ticker.C:
		}
		if settled, missing, err := w.syncState(); settled {
			return missing, err
		}
	}
}

// syncState tells whether the kind has answered and whether it is missing; it is an error if the
// kind may not be read.
func (w *kindWatch) syncState() (settled, missing bool, err error) {
	switch err := w.lastError(); {
	case apierrors.IsNotFound(err):
		return true, true, nil
	case isForbidden(err):
		return true, false, err
	default:
		return w.informer.HasSynced(), false, nil
	}
}

// within are the cached objects of a selector; an object may occur twice.
func (w *kindWatch) within(scope Selector) []any {
	indexer := w.informer.GetIndexer()
	var items []any
	index := func(name, value string) {
		found, err := indexer.ByIndex(name, value)
		must(err) // the index exists
		items = append(items, found...)
	}
	for key := range scope.Keys {
		if key.Kind != w.kind.Kind {
			continue
		}
		if item, ok, _ := indexer.GetByKey(key.Namespace + "/" + key.Name); ok {
			items = append(items, item)
		}
	}
	for service := range scope.Services {
		index(byService, service)
	}
	if w.kind.Kind == istio.AuthorizationPolicyKind {
		for namespace := range scope.Policies {
			index(cache.NamespaceIndex, namespace)
		}
	}
	index(byForeignRelevant, "")
	return items
}
