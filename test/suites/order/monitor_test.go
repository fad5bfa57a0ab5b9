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

// monitor records the objects of the three API servers from the responses to all writes. It checks
// the invariant after each write.
type monitor struct {
	// mu is locked from the start of a write until its effect is checked. So concurrent writes have an
	// order, and no state remains unchecked.
	mu sync.Mutex
	// now is the fake clock.
	now      time.Time
	clusters map[string]*cluster
	// gateways are all gateway addresses that the inventory ever had. An address that is no longer in
	// the inventory is expected to work for as long as it is called.
	gateways   map[string]gatewayTarget
	checking   bool
	violations []string
	// log explains a violation.
	log                  []string
	writes, checkedCalls int
}

// gatewayTarget is the gateway behind an address.
type gatewayTarget struct {
	cluster string
	ports   map[int]bool
}

// cluster is the recorded state of one API server.
type cluster struct {
	objects map[render.Key]*unstructured.Unstructured
	// before and during are the called hosts in the bundles of the last and of the current sync.
	before, during map[string]bool
}

func newMonitor() *monitor {
	m := &monitor{clusters: map[string]*cluster{}, gateways: map[string]gatewayTarget{}}
	for _, name := range clusterNames {
		m.clusters[name] = &cluster{objects: map[render.Key]*unstructured.Unstructured{}}
	}
	return m
}

func (m *monitor) logf(format string, args ...any) {
	m.log = append(m.log, m.now.Format(clockLayout)+" "+fmt.Sprintf(format, args...))
}

// logTail returns the last lines of the log.
func (m *monitor) logTail() string {
	const lines = 80
	return strings.Join(m.log[max(0, len(m.log)-lines):], "\n")
}

// addGateways adds the addresses of an inventory.
func (m *monitor) addGateways(gateways []gateway) {
	for _, g := range gateways {
		at := fmt.Sprint(g.host, " ", g.port)
		if m.gateways[at].ports == nil {
			m.gateways[at] = gatewayTarget{cluster: g.cluster, ports: map[int]bool{}}
		}
		m.gateways[at].ports[g.workload] = true
	}
}

// recording wraps a connection to a cluster. Every write is recorded and checked.
func (m *monitor) recording(cluster string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.Method == http.MethodGet {
				return next.RoundTrip(request)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
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
			return response, m.record(cluster, request, body)
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// record records and checks a successful write.
func (m *monitor) record(name string, request *http.Request, response []byte) error {
	c := m.clusters[name]
	if strings.HasSuffix(request.URL.Path, "/namespaces") {
		return nil
	}
	m.writes++
	if request.Method == http.MethodDelete {
		key, err := keyOfPath(request.URL.Path)
		if err != nil {
			return err
		}
		deleted := c.objects[key]
		delete(c.objects, key)
		m.logf("  %s: deleted %s", name, key)
		m.check(fmt.Sprintf("%s deleted %s", name, key))
		if deleted != nil && m.checking {
			m.violations = append(m.violations, c.lostHosts(name, deleted)...)
		}
		return nil
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(response); err != nil {
		return err
	}
	c.objects[keyOf(object)] = object
	m.logf("  %s: %s %s", name, request.Method, keyOf(object))
	m.check(fmt.Sprintf("%s wrote %s", name, keyOf(object)))
	return nil
}

func keyOf(object *unstructured.Unstructured) render.Key {
	return render.Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
}

// keyOfPath parses .../namespaces/NAMESPACE/RESOURCE/NAME.
func keyOfPath(path string) (render.Key, error) {
	parts := strings.Split(path, "/")
	if at := slices.Index(parts, "namespaces"); at >= 0 && len(parts) == at+4 {
		for _, kind := range istio.Kinds {
			if kind.Resource == parts[at+2] {
				return render.Key{Kind: kind.Kind, Namespace: parts[at+1], Name: parts[at+3]}, nil
			}
		}
	}
	return render.Key{}, fmt.Errorf("unknown path %s", path)
}

// lostHosts describes the hosts of a deleted ServiceEntry that no other entry defines, although
// both the current and the previous bundle contain them.
func (c *cluster) lostHosts(name string, deleted *unstructured.Unstructured) (lost []string) {
	if deleted.GetKind() != "ServiceEntry" || isPublished(deleted) {
		return nil
	}
	for _, host := range hostsOf(deleted) {
		if c.before[host] && c.during[host] && !slices.ContainsFunc(slices.Collect(maps.Values(c.objects)), func(other *unstructured.Unstructured) bool {
			return other.GetKind() == "ServiceEntry" && !isPublished(other) && slices.Contains(hostsOf(other), host)
		}) {
			lost = append(lost, fmt.Sprintf("%s has no ServiceEntry of %s, which this commit and the one before call", name, host))
		}
	}
	return lost
}

// calledHosts returns the hosts of all entries for callers in a bundle.
func calledHosts(bundle *render.Bundle) map[string]bool {
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
