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

// Side says what a resource is there for, which decides when it may be withdrawn.
type Side string

const (
	// SidePublish resources let other clusters in: the Gateway, the export ServiceEntry and DestinationRule.
	SidePublish Side = "publish"
	// SideCall resources let this cluster's own workloads reach a service.
	SideCall Side = "call"
)

// Labels that the CUE template puts on every resource; they survive on the live object, so a resource that
// has left the bundle still tells what it was for.
const (
	LabelService = "isthmus.dev/service"
	LabelSide    = "isthmus.dev/side"
	// LabelNoEndpoint is "true" on a ServiceEntry that gives no endpoints: it holds the name of a service that nobody takes calls
	// of, so that they fail instead of leaving the mesh. Its workloadSelector, the same label, is one that no pod has.
	LabelNoEndpoint = "isthmus.dev/no-endpoint"
)

// Key names a resource in one cluster.
type Key struct {
	Kind      string
	Namespace string
	Name      string
}

// String is the key as the CUE module writes it: "Kind/namespace/name".
func (k Key) String() string { return k.Kind + "/" + k.Namespace + "/" + k.Name }

// Resource is one object that the cluster shall have.
type Resource struct {
	Key Key
	GVK schema.GroupVersionKind
	// Service is the key of the service or external that it stems from, "" for the cluster's own.
	Service string
	Side    Side
	// Hash is the hex SHA-256 of Object in canonical JSON.
	Hash string

	// rendered is all that is kept of it: thousands of objects as maps would be most of what a controller has in memory.
	rendered json.RawMessage
	// noEndpoint: it is there for the name alone.
	noEndpoint bool
	validator  *istio.Validator
}

// Object makes the object: apiVersion, kind, metadata (name, namespace, labels, annotations) and spec, after the CRD's
// defaulting. It carries no ownership marks, and belongs to the caller.
func (r Resource) Object() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(r.rendered, &object.Object); err != nil {
		panic(fmt.Sprintf("%s was read before and cannot be read now: %v", r.Key, err))
	}
	if r.validator != nil {
		r.validator.Default(object)
	}
	return object
}

// NewResource is the resource of an object, as it is.
func NewResource(object *unstructured.Unstructured) (Resource, error) {
	rendered, err := json.Marshal(object.Object)
	if err != nil {
		return Resource{}, err
	}
	return understand(object, rendered), nil
}

// Rendered is the object as the template made it, which is what `cue export` prints, with numbers as json.Number.
func (r Resource) Rendered() map[string]any {
	var object map[string]any
	asWritten := json.NewDecoder(bytes.NewReader(r.rendered))
	asWritten.UseNumber()
	_ = asWritten.Decode(&object) // it was read before
	return object
}

// Call is one declared call of this cluster, with the resources that give it endpoints.
type Call struct {
	// Caller is a service, or mesh.PublicGateway.
	Caller, Callee string
	// Entries are the ServiceEntries through which the callee is reached from here; none if nobody takes the call.
	Entries []Key
}

// Bundle is everything that one cluster shall have by one commit.
type Bundle struct {
	Cluster string
	// ControlPlane is the cluster whose control plane configures this one's proxies. If it is another, the bundle has no resources:
	// they are in that one's.
	ControlPlane string
	// UID is the inventory's uid of the cluster (that of its kube-system namespace), "" if it states none.
	UID string
	// Gateways are the addresses at which other clusters reach this one, by the inventory.
	Gateways []manifest.Gateway
	// Revision is the Snapshot's; it is not part of Digest.
	Revision string
	// Resources are sorted by Key.String().
	Resources []Resource
	// Namespaces are those of the services' and externals' resources, sorted; they are created with NamespaceLabels where absent, and
	// never deleted.
	Namespaces      []string
	NamespaceLabels map[string]string
	// Calls are the declared calls of the services that run here or in a cluster that is remote to this one, and those that their
	// public gateways let in, sorted by caller, then callee.
	Calls []Call
	// Services is the number of services that run here, or in a cluster that is remote to this one, or are called from there.
	Services int
	// Acknowledged are the digests of held plans that settings.acknowledge lets pass.
	Acknowledged []string
	// Digest is the hex SHA-256 over all keys and hashes.
	Digest string
	// Frozen are the services that are broken in this commit and rendered from their last good manifest, or not at all, sorted.
	Frozen []Frozen
	// Findings are all that is wrong with the commit, and did not keep the rest of it from being rendered.
	Findings manifest.Findings
	// Lost are services and files that are broken, and of which nobody knows how they were before, sorted: what might stem from
	// them is not known either. LostReason is why nobody does, for a person, "" if what they were is refused by now.
	Lost       []string
	LostReason string
}

// Frozen is a service that is kept at its last good manifest.
type Frozen struct {
	Service string
	// Revision is that of the commit which the manifest is from, "" for a service that never was good and is left out.
	Revision string
}
