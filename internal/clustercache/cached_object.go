package clustercache

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// packed is an object as a watch holds it: stripped, and as JSON. Thousands of objects as maps would be most of what a controller has in memory, and a run
// looks at few of them.
type cachedObject struct {
	key     render.Key
	uid     types.UID
	version string
	// service is what the label says.
	service string
	// marked and neighbour tell whether a plan depends on more than the name: on an object with a mark, or on a gateway of somebody else.
	marked, foreignRelevant bool
	// namespace is what a plan must know of one, if it is one.
	namespace Namespace
	object    json.RawMessage
}

// pack strips an object and packs it, before it enters the cache.
func toCached(in any) (any, error) {
	object, ok := in.(*unstructured.Unstructured)
	if !ok {
		// A tombstone, or packed already.
		return in, nil
	}
	stripped := strip(object)
	raw, err := json.Marshal(stripped.Object)
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", render.KeyOf(object), err)
	}
	return &cachedObject{
		key: render.KeyOf(stripped), uid: stripped.GetUID(), version: stripped.GetResourceVersion(), service: stripped.GetLabels()[render.LabelService],
		marked: ownership.HasAnyMark(stripped), foreignRelevant: !ownership.HasAnyMark(stripped) && stripped.Object["spec"] != nil, namespace: namespaceOf(stripped), object: raw,
	}, nil
}

var _ cache.TransformFunc = toCached

// matters tells whether a plan depends on more than its name.
func (p *cachedObject) triggersReconcile() bool {
	return p.marked || p.foreignRelevant && p.key.Kind == "Gateway"
}

// unpack makes the object; it belongs to the caller.
func (p *cachedObject) decode() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(p.object, &object.Object); err != nil {
		panic(fmt.Sprintf("%s was read before and cannot be read now: %v", p.key, err))
	}
	return object
}

// GetObjectMeta gives client-go what it tells objects apart by.
func (p *cachedObject) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: p.key.Namespace, Name: p.key.Name, UID: p.uid, ResourceVersion: p.version}
}

// GetObjectKind is for client-go.
func (p *cachedObject) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is for client-go; nothing changes what is packed.
func (p *cachedObject) DeepCopyObject() runtime.Object { return p }

// indices of a watch.
const (
	byService         = "service"
	byForeignRelevant = "neighbour"
)

var indexers = cache.Indexers{
	cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
	byService:            func(item any) ([]string, error) { return []string{item.(*cachedObject).service}, nil },
	byForeignRelevant: func(item any) ([]string, error) {
		if item.(*cachedObject).foreignRelevant {
			return []string{""}, nil
		}
		return nil, nil
	},
}
