package gitops

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// HostWatch records every moment at which no ServiceEntry of a cluster defines a required host. It
// survives a restart of the API server: the watch is resumed, or starts again with a list.
type HostWatch struct {
	mutex    sync.Mutex
	hosts    map[string][]string
	required []string
	absences []string
	events   int
	lists    int
}

// WatchHosts watches until the test ends. It returns after the first list.
func WatchHosts(t *testing.T, connection *rest.Config) *HostWatch {
	t.Helper()
	reader, err := dynamic.NewForConfig(connection)
	Must(t, err)
	gvk := schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"}
	entries := reader.Resource(gvk.GroupVersion().WithResource("serviceentries"))
	source := &cache.ListWatch{
		ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return entries.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return entries.Watch(ctx, o) },
	}
	expected := &unstructured.Unstructured{}
	expected.SetGroupVersionKind(gvk)
	h := &HostWatch{}
	reflector := cache.NewReflectorWithOptions(source, expected, h, cache.ReflectorOptions{
		// The default back-off is so long that events during a restart of the API server are missed.
		Backoff: &wait.Backoff{Duration: 20 * time.Millisecond, Factor: 1, Steps: 1, Cap: 20 * time.Millisecond},
	})
	var watching sync.WaitGroup
	watching.Go(func() { reflector.RunWithContext(t.Context()) })
	t.Cleanup(watching.Wait)
	Until(t, "the ServiceEntries are listed", func() (bool, string) { return h.Lists() > 0, "" })
	return h
}

// Add records the hosts of one ServiceEntry. It and the next methods implement
// [cache.ReflectorStore].
func (h *HostWatch) Add(object any) error { return h.Update(object) }

// Update records the hosts of one ServiceEntry.
func (h *HostWatch) Update(object any) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	entry := object.(*unstructured.Unstructured)
	h.hosts[Key(entry)] = HostsOf(entry)
	h.check("a write of " + Key(entry))
	return nil
}

// Delete forgets the hosts of one ServiceEntry.
func (h *HostWatch) Delete(object any) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	key := Key(object.(*unstructured.Unstructured))
	delete(h.hosts, key)
	h.check("the deletion of " + key)
	return nil
}

// Replace records the hosts of all ServiceEntries.
func (h *HostWatch) Replace(all []any, _ string) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.lists++
	h.hosts = map[string][]string{}
	for _, object := range all {
		entry := object.(*unstructured.Unstructured)
		h.hosts[Key(entry)] = HostsOf(entry)
	}
	h.check("a new list")
	return nil
}

// Resync does nothing.
func (h *HostWatch) Resync() error { return nil }

func (h *HostWatch) check(after string) {
	h.events++
	for _, host := range h.required {
		if !h.defined(host) {
			h.absences = append(h.absences, fmt.Sprintf("after %s no ServiceEntry defines %s", after, host))
		}
	}
}

func (h *HostWatch) defined(host string) bool {
	for _, hosts := range h.hosts {
		if slices.Contains(hosts, host) {
			return true
		}
	}
	return false
}

// Require sets the hosts that must be defined from now on.
func (h *HostWatch) Require(hosts ...string) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.required = hosts
	h.check("the first commit")
}

// Absences are the moments at which a required host was not defined.
func (h *HostWatch) Absences() []string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return slices.Clone(h.absences)
}

// Events is the number of checks. Each event of the watch is one.
func (h *HostWatch) Events() int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.events
}

// Lists is the number of lists. With more than one, an absence between two watches may have been
// missed.
func (h *HostWatch) Lists() int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.lists
}
