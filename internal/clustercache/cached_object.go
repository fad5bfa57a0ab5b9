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

// cachedObject is an object in the watch cache: stripped, and as JSON. As maps, thousands of
// objects would be most of the memory of a controller, and a run reads few of them.
type cachedObject struct {
	key     render.Key
	uid     types.UID
	version string
	// service is the value of the label.
	service string
	// marked is set for an object with a mark of ours; foreignRelevant is set for a foreign object
	// whose content a plan or preflight reads.
	marked, foreignRelevant bool
	// namespace is set if the object is a namespace.
	namespace Namespace
	object    json.RawMessage
}

// toCached strips an object and encodes it before it enters the cache.
func toCached(in any) (any, error) {
	object, ok := in.(*unstructured.Unstructured)
	if !ok {
		// A tombstone, or encoded already.
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

// triggersReconcile tells whether a change of the object may change a plan.
func (p *cachedObject) triggersReconcile() bool {
	return p.marked || p.foreignRelevant && p.key.Kind == "Gateway"
}

// decode returns the object; it belongs to the caller.
func (p *cachedObject) decode() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(p.object, &object.Object); err != nil {
		panic(fmt.Sprintf("%s was read before and cannot be read now: %v", p.key, err))
	}
	return object
}

// GetObjectMeta returns the identity of the object for client-go.
func (p *cachedObject) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: p.key.Namespace, Name: p.key.Name, UID: p.uid, ResourceVersion: p.version}
}

// GetObjectKind is required by client-go.
func (p *cachedObject) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is required by client-go; a cached object is never changed.
func (p *cachedObject) DeepCopyObject() runtime.Object { return p }

// Names of the indexes of a watch.
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
