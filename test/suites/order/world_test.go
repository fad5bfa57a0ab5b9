package order_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// world is what the three API servers have, as their own answers to every write tell it, and what is wrong with it.
type world struct {
	// mu is held from before a write is sent until what it did is judged: there is no moment that nobody looks at, and writes that are
	// under way side by side get some order.
	mu       sync.Mutex
	now      time.Time
	clusters map[string]*cluster
	// gateways are all that the inventory ever had, and what workload ports were behind each: an address that is given up works for as long
	// as it is called, which is not up to Isthmus.
	gateways map[string]behind
	judging  bool
	wrong    []string
	// story is what happened, for a person.
	story         []string
	writes, pairs int
}

// behind is what is behind an address.
type behind struct {
	cluster string
	ports   map[int]bool
}

// cluster is what one API server has, by what it answered.
type cluster struct {
	objects map[render.Key]*unstructured.Unstructured
	// before and during are the hosts that the bundles of the last sync and of the one that is under way have entries for.
	before, during map[string]bool
}

func newWorld() *world {
	w := &world{clusters: map[string]*cluster{}, gateways: map[string]behind{}}
	for _, name := range clusterNames {
		w.clusters[name] = &cluster{objects: map[render.Key]*unstructured.Unstructured{}}
	}
	return w
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, w.now.Format(clock)+" "+fmt.Sprintf(format, args...))
}

// knows the addresses of an inventory.
func (w *world) knows(gateways []gateway) {
	for _, g := range gateways {
		at := fmt.Sprint(g.host, " ", g.port)
		if w.gateways[at].ports == nil {
			w.gateways[at] = behind{cluster: g.cluster, ports: map[int]bool{}}
		}
		w.gateways[at].ports[g.workload] = true
	}
}

// noting is a connection to one of the clusters of which every write is noted and judged.
func (w *world) noting(cluster string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.Method == http.MethodGet {
				return next.RoundTrip(request)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			response, err := next.RoundTrip(request)
			if err != nil || response.StatusCode >= http.StatusMultipleChoices {
				return response, err
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil {
				return nil, err
			}
			response.Body = io.NopCloser(bytes.NewReader(body))
			return response, w.note(cluster, request, body)
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// note takes down a write that succeeded.
func (w *world) note(name string, request *http.Request, answer []byte) error {
	c := w.clusters[name]
	if strings.HasSuffix(request.URL.Path, "/namespaces") {
		return nil
	}
	w.writes++
	if request.Method == http.MethodDelete {
		key, err := keyOfPath(request.URL.Path)
		if err != nil {
			return err
		}
		gone := c.objects[key]
		delete(c.objects, key)
		w.tell("  %s: deleted %s", name, key)
		w.judge(fmt.Sprintf("%s deleted %s", name, key))
		if gone != nil && w.judging {
			w.wrong = append(w.wrong, c.vanished(name, gone)...)
		}
		return nil
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(answer); err != nil {
		return err
	}
	c.objects[keyOf(object)] = object
	w.tell("  %s: %s %s", name, request.Method, keyOf(object))
	w.judge(fmt.Sprintf("%s wrote %s", name, keyOf(object)))
	return nil
}

func keyOf(object *unstructured.Unstructured) render.Key {
	return render.Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
}

// keyOfPath is that of the object at a path: …/namespaces/NAMESPACE/RESOURCE/NAME.
func keyOfPath(path string) (render.Key, error) {
	parts := strings.Split(path, "/")
	if at := slices.Index(parts, "namespaces"); at >= 0 && len(parts) == at+4 {
		for _, kind := range istio.Kinds {
			if kind.Resource == parts[at+2] {
				return render.Key{Kind: kind.Kind, Namespace: parts[at+1], Name: parts[at+3]}, nil
			}
		}
	}
	return render.Key{}, fmt.Errorf("nobody knows which object is at %s", path)
}

// vanished tells of hosts that were deleted although the repository has them, and had them before.
func (c *cluster) vanished(name string, gone *unstructured.Unstructured) (wrong []string) {
	if gone.GetKind() != "ServiceEntry" || isPublished(gone) {
		return nil
	}
	for _, host := range hostsOf(gone) {
		if c.before[host] && c.during[host] && !slices.ContainsFunc(slices.Collect(maps.Values(c.objects)), func(other *unstructured.Unstructured) bool {
			return other.GetKind() == "ServiceEntry" && !isPublished(other) && slices.Contains(hostsOf(other), host)
		}) {
			wrong = append(wrong, fmt.Sprintf("%s has no entry of %s any more, which is called by this commit and by the one before", name, host))
		}
	}
	return wrong
}

// called are the hosts that a bundle has entries for callers of.
func called(bundle *render.Bundle) map[string]bool {
	hosts := map[string]bool{}
	for _, resource := range bundle.Resources {
		if resource.Key.Kind == "ServiceEntry" && resource.Side != render.SidePublish {
			for _, host := range hostsOf(resource.Object()) {
				hosts[host] = true
			}
		}
	}
	return hosts
}

func isPublished(object *unstructured.Unstructured) bool {
	return object.GetLabels()[render.LabelSide] == string(render.SidePublish)
}

func hostsOf(object *unstructured.Unstructured) []string {
	hosts, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "hosts")
	return hosts
}
