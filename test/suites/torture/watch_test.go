//go:build linux

package torture_test

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
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// hosts watches which names the ServiceEntries of a cluster give, at every moment. It outlives its API server: the watch goes on where it broke
// off, or starts anew with a list.
type hosts struct {
	mutex sync.Mutex
	of    map[string][]string
	// required are those that must be there from now on; missed are the moments when one was not.
	required []string
	missed   []string
	events   int
}

func watchHosts(t *testing.T, cluster *apiserver.Cluster) *hosts {
	t.Helper()
	reader, err := dynamic.NewForConfig(cluster.Config)
	must(t, err)
	entries := reader.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"})
	h := &hosts{of: map[string][]string{}}
	source := &cache.ListWatch{
		ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return entries.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return entries.Watch(ctx, o) },
	}
	expected := &unstructured.Unstructured{}
	expected.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"})
	reflector := cache.NewReflectorWithOptions(source, expected, h, cache.ReflectorOptions{
		// Soon, or what happens while the API server comes back is not seen.
		Backoff: &wait.Backoff{Duration: 20 * time.Millisecond, Factor: 1, Steps: 1, Cap: 20 * time.Millisecond},
	})
	var watching sync.WaitGroup
	watching.Go(func() { reflector.RunWithContext(t.Context()) })
	t.Cleanup(watching.Wait)
	return h
}

func hostsOf(object *unstructured.Unstructured) []string {
	if object.GetKind() != "ServiceEntry" {
		return nil
	}
	of, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts")
	return of
}

// Add, and the methods below it, are what a reflector tells.
func (h *hosts) Add(object any) error { return h.Update(object) }

func (h *hosts) Update(object any) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	entry := object.(*unstructured.Unstructured)
	h.of[keyOf(entry)] = hostsOf(entry)
	h.check("a write of " + keyOf(entry))
	return nil
}

func (h *hosts) Delete(object any) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	key := keyOf(object.(*unstructured.Unstructured))
	delete(h.of, key)
	h.check("the deletion of " + key)
	return nil
}

func (h *hosts) Replace(all []any, _ string) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.of = map[string][]string{}
	for _, object := range all {
		entry := object.(*unstructured.Unstructured)
		h.of[keyOf(entry)] = hostsOf(entry)
	}
	h.check("a new list")
	return nil
}

func (h *hosts) Resync() error { return nil }

func (h *hosts) check(after string) {
	h.events++
	for _, host := range h.required {
		if !h.has(host) {
			h.missed = append(h.missed, fmt.Sprintf("after %s there is no ServiceEntry of %s", after, host))
		}
	}
}

func (h *hosts) has(host string) bool {
	for _, of := range h.of {
		if slices.Contains(of, host) {
			return true
		}
	}
	return false
}

// require names the hosts that must be there from now on.
func (h *hosts) require(hosts ...string) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.required = hosts
	h.check("the first commit")
}

func (h *hosts) absences() []string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return slices.Clone(h.missed)
}
