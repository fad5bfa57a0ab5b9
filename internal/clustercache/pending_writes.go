package clustercache

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// patience is how long a written object is believed in although the watch never showed it, if the watch has got
// past its resourceVersion. It was then deleted while the watch was being set up again.
const patience = 10 * time.Second

// expectations are our own writes that the watch has not shown yet. Until it does, a plan must be made from
// what was written and not from what the cache still holds; otherwise it would write the same again and lose.
type pendingWrites struct {
	now func() time.Time

	mu    sync.Mutex
	byKey map[render.Key]pendingWrite
}

type pendingWrite struct {
	// object is what was written, or what was deleted.
	object  *cachedObject
	deleted bool
	since   time.Time
}

func (e *pendingWrites) record(object *cachedObject, deleted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.byKey[object.key] = pendingWrite{object: object, deleted: deleted, since: e.now()}
}

// present decides between the cached object and what we know better; nil means that it is absent.
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

// absent returns what we wrote of one kind and the cache does not have. The seen map holds the keys that it has, and
// version is how far the watch has come.
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

// keys are those of which the watch has not shown what we wrote.
func (e *pendingWrites) keys() []render.Key {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := make([]render.Key, 0, len(e.byKey))
	for key := range e.byKey {
		keys = append(keys, key)
	}
	return keys
}

// gone is told of every deletion that the watch shows, and reports whether it was ours.
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

// echoes reports whether the watch shows what we wrote.
func (e *pendingWrites) isEcho(object *cachedObject) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected, ok := e.byKey[object.key]
	return ok && !expected.deleted && expected.object.version == object.version
}

func newer(a, b *cachedObject) bool {
	return compareVersions(a.version, b.version) > 0
}

// compareVersions orders resourceVersions, as Kubernetes 1.35 and newer promise (KEP-5504) and all before did. What is
// no number is older than everything, so that the cache is believed.
func compareVersions(a, b string) int {
	order, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		return -1
	}
	return order
}
