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

// Renderer makes one bundle after another and keeps what it found out of each resource: what is the same in the next commit is
// not checked again. It may be used by several goroutines.
type Renderer struct {
	validator *istio.Validator
	cache     *cache.Store

	mu   sync.Mutex
	last map[string]last

	known known
}

// last is a resource of the last bundle, and what it was made of.
type last struct {
	resource Resource
	// sum is the hash of the key and of what the template rendered.
	sum [sha256.Size]byte
}

// New makes a renderer. The cache may be nil.
func New(validator *istio.Validator, store *cache.Store) *Renderer {
	return &Renderer{validator: validator, cache: store}
}

// Render makes one bundle, as [Renderer.Render] does.
func Render(view *mesh.View, result *evaluate.Result, validator *istio.Validator, revision string) (*Bundle, error) {
	return New(validator, nil).Render(view, result, revision)
}

// Render makes the bundle of the view's cluster from what the template rendered for it; that of a remote cluster is empty, since its
// primary's has all. Every object that Istio would
// not accept is a finding, under the service to blame; with any finding there is no bundle, since half of one would
// prune the other half.
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
	for _, name := range result.LeftOut {
		b.Frozen = append(b.Frozen, Frozen{Service: name})
	}
	slices.SortFunc(b.Frozen, func(x, y Frozen) int { return strings.Compare(x.Service, y.Service) })
	b.Findings, b.Lost = result.Findings(), result.Lost
	r.mu.Lock()
	defer r.mu.Unlock()
	var findings manifest.Findings
	r.known.of(view.Cluster)
	keys := slices.Sorted(maps.Keys(result.Rendered))
	b.Resources = make([]Resource, len(keys))
	problems, sums := r.make(keys, result.Rendered, b.Resources)
	for i, problems := range problems {
		for _, p := range problems {
			findings = append(findings, blame(result, view.Cluster, keys[i], b.Resources[i], p))
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	r.last = make(map[string]last, len(keys))
	for i, key := range keys {
		r.last[key] = last{b.Resources[i], sums[i]}
	}
	b.Namespaces = namespaces(b.Resources)
	b.Calls = calls(view, b.Resources)
	b.Services = services(view)
	b.Digest = digest(b.Resources)
	return b, nil
}

// make makes the resources, as many at a time as there are processors, and gives the problems of each and the hash of what it is made of.
func (r *Renderer) make(keys []string, rendered map[string]json.RawMessage, into []Resource) ([][]istio.Violation, [][sha256.Size]byte) {
	problems, sums := make([][]istio.Violation, len(keys)), make([][sha256.Size]byte, len(keys))
	var unknown []int
	for i, key := range keys {
		if last, ok := r.last[key]; ok && same(last.resource.rendered, rendered[key]) {
			into[i], sums[i] = last.resource, last.sum
			continue
		}
		sums[i] = sha256.Sum256(slices.Concat([]byte(key), []byte{0}, rendered[key]))
		if made, ok := r.known.get(r.cache, key, sums[i]); ok {
			into[i] = made.resource(rendered[key], r.validator)
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
				into[i], problems[i] = newResource(keys[i], rendered[keys[i]], r.validator)
			}
		})
	}
	wait.Wait()
	r.known.save(r.cache, keys, into, sums, func(i int) bool { return len(problems[i]) == 0 }, unknown)
	return problems, sums
}

// same tells whether two are equal; most often they are the same bytes.
func same(a, b json.RawMessage) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || bytes.Equal(a, b))
}

// newResource checks one rendered object; the problems are for a person, without position.
func newResource(key string, rendered json.RawMessage, validator *istio.Validator) (Resource, []istio.Violation) {
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
			"stands under the key %q, but is %s: the key of a resource is Kind/namespace/name. A template that adds to one exact key makes half a "+
				"resource where the service lacks it: use a pattern, resources: [=~\"^%s/\"]: ...", key, r.Key, kind)}}
	}
	if problems := validator.Validate(obj); len(problems) > 0 {
		return r, problems
	}
	validator.Default(obj)
	r = understand(obj, rendered)
	r.validator = validator
	return r, nil
}

// understand is the resource of an object that was read from what was rendered, and defaulted.
func understand(object *unstructured.Unstructured, rendered json.RawMessage) Resource {
	labels := object.GetLabels()
	canonical, _ := json.Marshal(object.Object) // it was JSON before
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

// namespaces are those of services and externals, sorted. Those of gateways, the cluster's own and public ones, are there with the
// workload, or the platform has to make them.
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
