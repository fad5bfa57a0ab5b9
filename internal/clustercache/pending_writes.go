package clustercache

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// patience is how long a written object counts although the watch never showed it and is past its
// resourceVersion. Such an object was deleted while the watch was re-established.
const patience = 10 * time.Second

// pendingWrites are our own writes that the watch has not shown yet. Until then a plan must be
// made from the written object and not from the cache: otherwise it would write the same again,
// and conflict. client-go has a MutationCache for creates and updates; it does not know deletions.
type pendingWrites struct {
	now func() time.Time

	mu    sync.Mutex
	byKey map[render.Key]pendingWrite
}

type pendingWrite struct {
	// object is the written or the deleted object.
	object  *cachedObject
	deleted bool
	since   time.Time
}

func (e *pendingWrites) record(object *cachedObject, deleted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.byKey[object.key] = pendingWrite{object: object, deleted: deleted, since: e.now()}
}

// resolve decides between the cached object and a pending write; nil means that the object is
// absent.
func (e *pendingWrites) resolve(cached *cachedObject) *cachedObject {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := cached.key
	expected, ok := e.byKey[key]
	if !ok {
		return cached
	}
	if expected.deleted {
		if cached.uid == expected.object.uid && !newer(cached, expected.object) {
			return nil
		}
		delete(e.byKey, key)
		return cached
	}
	if newer(expected.object, cached) {
		return expected.object
	}
	delete(e.byKey, key)
	return cached
}

// missing returns pending writes of one kind that the cache lacks. The seen map holds the keys
// that it has; version is how far the watch has come.
func (e *pendingWrites) missing(kind string, seen map[render.Key]struct{}, version string) []*cachedObject {
	e.mu.Lock()
	defer e.mu.Unlock()
	var objects []*cachedObject
	for key, expected := range e.byKey {
		if _, ok := seen[key]; ok || key.Kind != kind {
			continue
		}
		passed := compareVersions(version, expected.object.version) >= 0
		if expected.deleted || passed && e.now().Sub(expected.since) > patience {
			delete(e.byKey, key)
			continue
		}
		objects = append(objects, expected.object)
	}
	return objects
}

// keys are the objects with pending writes.
func (e *pendingWrites) keys() []render.Key {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := make([]render.Key, 0, len(e.byKey))
	for key := range e.byKey {
		keys = append(keys, key)
	}
	return keys
}

// onDelete handles a deletion that the watch shows, and reports whether it was ours.
func (e *pendingWrites) onDelete(object *cachedObject) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := object.key
	expected, ok := e.byKey[key]
	if !ok || expected.object.uid != object.uid {
		return false
	}
	delete(e.byKey, key)
	return expected.deleted
}

// isEcho reports whether the watch shows our own write.
func (e *pendingWrites) isEcho(object *cachedObject) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected, ok := e.byKey[object.key]
	return ok && !expected.deleted && expected.object.version == object.version
}

func newer(a, b *cachedObject) bool {
	return compareVersions(a.version, b.version) > 0
}

// compareVersions orders resourceVersions, which Kubernetes 1.35 and later promise (KEP-5504) and
// all earlier versions supported. A version that is not a number is the oldest, so that the cache
// is used.
func compareVersions(a, b string) int {
	order, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		return -1
	}
	return order
}
