package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

// Renderer makes the bundles of successive commits. It does not validate a resource again that did
// not change. It is safe for concurrent use; calls of Render run one at a time.
type Renderer struct {
	validator *istio.Validator
	cache     *cache.Store

	mu sync.Mutex
	// last has the resources of the last bundle by key.
	last      map[string]lastResource
	validated validationCache
}

type lastResource struct {
	resource Resource
	// sum is the hash of the key and the rendered object.
	sum [sha256.Size]byte
}

// New returns a renderer. The store is optional.
func New(validator *istio.Validator, store *cache.Store) *Renderer {
	return &Renderer{validator: validator, cache: store}
}

// Render makes a single bundle, see [Renderer.Render].
func Render(view *mesh.View, result *evaluate.Result, validator *istio.Validator, revision string) (*Bundle, error) {
	return New(validator, nil).Render(view, result, revision)
}

// Render makes the bundle of the view's cluster from the rendered objects. Each object that Istio's
// CRDs do not accept is a finding for its service. If there are findings, the error is a
// [manifest.Findings] and there is no bundle: applying half a bundle would prune the other half.
func (r *Renderer) Render(view *mesh.View, result *evaluate.Result, revision string) (*Bundle, error) {
	b := &Bundle{
		Cluster:         view.Cluster,
		ControlPlane:    view.ControlPlane,
		UID:             view.UID,
		Gateways:        view.Gateways,
		Revision:        revision,
		NamespaceLabels: view.NamespaceLabels,
		Acknowledged:    view.Acknowledged,
	}
	for _, name := range slices.Sorted(maps.Keys(result.Frozen)) {
		b.Frozen = append(b.Frozen, Frozen{Service: name, Revision: result.Frozen[name].Revision})
	}
	for _, name := range result.NeverGood {
		b.Frozen = append(b.Frozen, Frozen{Service: name})
	}
	slices.SortFunc(b.Frozen, func(x, y Frozen) int { return strings.Compare(x.Service, y.Service) })
	b.Findings, b.Lost = result.Findings(), result.Unknown
	r.mu.Lock()
	defer r.mu.Unlock()
	var findings manifest.Findings
	r.validated.prepare(view.Cluster)
	keys := slices.Sorted(maps.Keys(result.Rendered))
	b.Resources = make([]Resource, len(keys))
	violations, sums := r.makeResources(keys, result.Rendered, b.Resources)
	for i, violations := range violations {
		for _, v := range violations {
			findings = append(findings, finding(result, view.Cluster, keys[i], b.Resources[i], v))
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	r.last = make(map[string]lastResource, len(keys))
	for i, key := range keys {
		r.last[key] = lastResource{b.Resources[i], sums[i]}
	}
	b.Namespaces = namespaces(b.Resources)
	b.Calls = calls(view, b.Resources)
	b.Services = countServices(view)
	b.Digest = digest(b.Resources)
	return b, nil
}

// makeResources writes the resource of each key to into, in parallel. It returns the violations of
// each resource and the hash of its key and rendered object.
func (r *Renderer) makeResources(
	keys []string, rendered map[string]json.RawMessage, into []Resource,
) ([][]istio.Violation, [][sha256.Size]byte) {
	violations, sums := make([][]istio.Violation, len(keys)), make([][sha256.Size]byte, len(keys))
	var unknown []int
	for i, key := range keys {
		if last, ok := r.last[key]; ok && equalJSON(last.resource.rendered, rendered[key]) {
			into[i], sums[i] = last.resource, last.sum
			continue
		}
		sums[i] = sha256.Sum256(slices.Concat([]byte(key), []byte{0}, rendered[key]))
		if known, ok := r.validated.get(r.cache, key, sums[i]); ok {
			into[i] = known.resource(rendered[key], r.validator)
			continue
		}
		unknown = append(unknown, i)
	}
	var wait sync.WaitGroup
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(unknown)) {
		wait.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(unknown)); n = next.Add(1) - 1 {
				i := unknown[n]
				into[i], violations[i] = validResource(keys[i], rendered[keys[i]], r.validator)
			}
		})
	}
	wait.Wait()
	r.validated.save(r.cache, keys, into, sums, func(i int) bool { return len(violations[i]) == 0 }, unknown)
	return violations, sums
}

// equalJSON compares bytes. The slices are mostly identical.
func equalJSON(a, b json.RawMessage) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || bytes.Equal(a, b))
}

// validResource makes the resource of a rendered object and returns its violations.
func validResource(key string, rendered json.RawMessage, validator *istio.Validator) (Resource, []istio.Violation) {
	obj := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(rendered, &obj.Object); err != nil {
		return Resource{}, []istio.Violation{{Message: err.Error()}}
	}
	labels, _, err := unstructured.NestedStringMap(obj.Object, "metadata", "labels")
	if err != nil {
		return Resource{}, []istio.Violation{{Path: "metadata.labels", Message: err.Error()}}
	}
	r := Resource{
		Service: labels[LabelService], Side: side(labels),
		GVK: schema.FromAPIVersionAndKind(obj.GetAPIVersion(), obj.GetKind()),
		Key: Key{Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()},
	}
	if r.Key.String() != key {
		kind, _, _ := strings.Cut(key, "/")
		return r, []istio.Violation{{Message: fmt.Sprintf(
			"has the key %q, but is %s: the key of a resource is Kind/namespace/name. A template that adds fields to an exact key makes half a "+
				"resource if the service has no such resource: use a pattern, resources: [=~\"^%s/\"]: ...", key, r.Key, kind)}}
	}
	if violations := validator.Validate(obj); len(violations) > 0 {
		return r, violations
	}
	validator.Default(obj)
	r = newResource(obj, rendered)
	r.validator = validator
	return r, nil
}

// newResource makes the resource of an object with defaults and of its rendered form.
func newResource(object *unstructured.Unstructured, rendered json.RawMessage) Resource {
	labels := object.GetLabels()
	canonical, _ := json.Marshal(object.Object) // it was decoded from JSON
	sum := sha256.Sum256(canonical)
	return Resource{
		Key:     Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()},
		GVK:     schema.FromAPIVersionAndKind(object.GetAPIVersion(), object.GetKind()),
		Service: labels[LabelService], Side: side(labels), Hash: hex.EncodeToString(sum[:]),
		rendered: rendered, noEndpoint: labels[LabelNoEndpoint] == "true",
	}
}

func side(labels map[string]string) Side {
	if labels[LabelSide] == string(SidePublish) {
		return SidePublish
	}
	return SideCall
}

// namespaces returns the namespaces of services and externals, sorted. The namespaces of gateways
// exist with the gateway workload, or the platform creates them.
func namespaces(resources []Resource) []string {
	names := map[string]struct{}{}
	for _, r := range resources {
		if r.Service != "" && r.Key.Kind != "Gateway" {
			names[r.Key.Namespace] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func digest(resources []Resource) string {
	h := sha256.New()
	var line []byte
	for _, r := range resources {
		line = append(append(append(append(line[:0], r.Key.String()...), ' '), r.Hash...), '\n')
		h.Write(line)
	}
	return hex.EncodeToString(h.Sum(nil))
}
