package render

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Side is the purpose of a resource. It decides when the resource may be withdrawn.
type Side string

const (
	// SidePublish resources accept calls: Gateways, export ServiceEntries and DestinationRules, and
	// AuthorizationPolicies.
	SidePublish Side = "publish"
	// SideCall resources configure callers in this cluster.
	SideCall Side = "call"
)

// Labels that the CUE templates set on every resource. Live objects keep them, so the service and
// side of an object are known after it left the bundle.
const (
	LabelService = "isthmus.dev/service"
	LabelSide    = "isthmus.dev/side"
	// LabelNoEndpoint is "true" on a ServiceEntry without endpoints, for a host that no cluster
	// accepts calls of: calls fail instead of leaving the mesh. Its workloadSelector is the same
	// label, which no pod has.
	LabelNoEndpoint = "isthmus.dev/no-endpoint"
)

// Key identifies a resource in a cluster.
type Key struct {
	Kind      string
	Namespace string
	Name      string
}

// String returns the key in the form of the CUE module, "Kind/namespace/name".
func (k Key) String() string { return k.Kind + "/" + k.Namespace + "/" + k.Name }

// Resource is a desired object.
type Resource struct {
	Key Key
	GVK schema.GroupVersionKind
	// Service is the key of the service or external that the resource is for, "" for resources that
	// a cluster has once.
	Service string
	Side    Side
	// Hash is the hex SHA-256 of Object in canonical JSON.
	Hash string

	// rendered is the object in JSON. Thousands of objects as maps would use most of the
	// controller's memory.
	rendered json.RawMessage
	// noEndpoint is true if the object has LabelNoEndpoint.
	noEndpoint bool
	validator  *istio.Validator
}

// Object returns a new copy of the object: apiVersion, kind, metadata (name, namespace, labels,
// annotations) and spec, with the CRD's defaults and without ownership marks.
func (r Resource) Object() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(r.rendered, &object.Object); err != nil {
		panic(fmt.Sprintf("%s was decoded before and cannot be decoded now: %v", r.Key, err))
	}
	if r.validator != nil {
		r.validator.Default(object)
	}
	return object
}

// NewResource makes a resource from an object, without validation or defaults.
func NewResource(object *unstructured.Unstructured) (Resource, error) {
	rendered, err := json.Marshal(object.Object)
	if err != nil {
		return Resource{}, err
	}
	return newResource(object, rendered), nil
}

// Rendered returns the object without defaults, as `cue export` prints it. Numbers are json.Number.
func (r Resource) Rendered() map[string]any {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(r.rendered))
	decoder.UseNumber()
	_ = decoder.Decode(&object) // it was decoded before
	return object
}

// Call is a declared call from this cluster, with its endpoints.
type Call struct {
	// Caller is a service, or mesh.PublicGateway.
	Caller, Callee string
	// Entries are the ServiceEntries with endpoints of the callee, none if no cluster accepts the
	// call.
	Entries []Key
}

// Bundle is the desired state of one cluster at one commit.
type Bundle struct {
	Cluster string
	// ControlPlane is the cluster whose control plane configures the proxies of Cluster. In a
	// remote cluster it is the primary: the bundle then has stub Services only, so that Kubernetes
	// names resolve, and the primary's bundle has all other resources for its proxies.
	ControlPlane string
	// UID is the inventory's uid of the cluster's kube-system namespace, "" if not set.
	UID string
	// Gateways are the addresses in the inventory at which other clusters reach this cluster.
	Gateways []manifest.Gateway
	// Revision is that of the Snapshot. It is not part of Digest.
	Revision string
	// Resources are sorted by Key.String().
	Resources []Resource
	// Namespaces are those of resources of services and externals, sorted. The controller creates
	// missing ones with NamespaceLabels and never deletes any.
	Namespaces      []string
	NamespaceLabels map[string]string
	// Calls are the declared calls from this cluster and its remote clusters, and the calls that
	// their public gateways accept, sorted by caller and callee.
	Calls []Call
	// Services is the number of services that run in or are called from this cluster and its remote
	// clusters.
	Services int
	// Acknowledged are the digests of held plans in settings.acknowledge.
	Acknowledged []string
	// Digest is the hex SHA-256 of all keys and hashes.
	Digest string
	// Frozen are the broken services of this commit, sorted.
	Frozen []Frozen
	// Findings are the errors of the commit that affect single services only.
	Findings manifest.Findings
	// Lost are broken services and files without a known last good manifest, sorted. Their
	// resources are unknown. LostReason explains to users why none is known; "" means that the last
	// good manifests are no longer valid.
	Lost       []string
	LostReason string
}

// Frozen is a broken service. It is rendered from its last good manifest.
type Frozen struct {
	Service string
	// Revision of the last good manifest, "" for a service without one, which is left out.
	Revision string
}
