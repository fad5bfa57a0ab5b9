package apply

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// patience is how long a written object is believed in although the watch never showed it, if the watch has got
// past its resourceVersion. It was then deleted while the watch was being set up again.
const patience = 10 * time.Second

// expectations are our own writes that the watch has not shown yet. Until it does, a plan must be made from
// what was written and not from what the cache still holds; otherwise it would write the same again and lose.
type expectations struct {
	now func() time.Time

	mu    sync.Mutex
	byKey map[render.Key]expectation
}

type expectation struct {
	// object is what was written, or what was deleted.
	object  *unstructured.Unstructured
	deleted bool
	since   time.Time
}

func (e *expectations) expect(object *unstructured.Unstructured, deleted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.byKey[keyOf(object)] = expectation{object: object, deleted: deleted, since: e.now()}
}

// present decides between the cached object and what we know better; nil means that it is absent.
func (e *expectations) present(key render.Key, cached *unstructured.Unstructured) *unstructured.Unstructured {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected, ok := e.byKey[key]
	if !ok {
		return cached
	}
	if expected.deleted {
		if cached.GetUID() == expected.object.GetUID() && !newer(cached, expected.object) {
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
func (e *expectations) absent(kind string, seen map[render.Key]struct{}, version string) []*unstructured.Unstructured {
	e.mu.Lock()
	defer e.mu.Unlock()
	var objects []*unstructured.Unstructured
	for key, expected := range e.byKey {
		if _, ok := seen[key]; ok || key.Kind != kind {
			continue
		}
		passed := compareVersions(version, expected.object.GetResourceVersion()) >= 0
		if expected.deleted || passed && e.now().Sub(expected.since) > patience {
			delete(e.byKey, key)
			continue
		}
		objects = append(objects, expected.object)
	}
	return objects
}

// gone is told of every deletion that the watch shows, and reports whether it was ours.
func (e *expectations) gone(object *unstructured.Unstructured) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := keyOf(object)
	expected, ok := e.byKey[key]
	if !ok || expected.object.GetUID() != object.GetUID() {
		return false
	}
	delete(e.byKey, key)
	return expected.deleted
}

// echoes reports whether the watch shows what we wrote.
func (e *expectations) echoes(object *unstructured.Unstructured) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected, ok := e.byKey[keyOf(object)]
	return ok && !expected.deleted && expected.object.GetResourceVersion() == object.GetResourceVersion()
}

func newer(a, b *unstructured.Unstructured) bool {
	return compareVersions(a.GetResourceVersion(), b.GetResourceVersion()) > 0
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
