package istio

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is one managed kind.
type Kind struct {
	schema.GroupVersionKind
	// Resource is the plural name in the API, "virtualservices".
	Resource string
}

// BuiltIn reports whether every API server has the kind by itself, without a CRD.
func (k Kind) BuiltIn() bool { return k.Group == corev1.GroupName }

// Kinds lists what Isthmus may write, in the order in which the kinds are created; deletion goes the other way
// round. EnvoyFilter is left out on purpose: it can do anything to a proxy, so no mesh repository should. Of Services
// only stubs may be written, see stub.yaml; they come first, so that a name resolves before anything routes it.
var Kinds = []Kind{
	{corev1.SchemeGroupVersion.WithKind("Service"), "services"},
	{schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"}, "gateways"},
	{schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"}, "serviceentries"},
	{schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"}, "destinationrules"},
	{schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"}, "virtualservices"},
	{schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Sidecar"}, "sidecars"},
	{schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "PeerAuthentication"}, "peerauthentications"},
	{schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "RequestAuthentication"}, "requestauthentications"},
	{schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "AuthorizationPolicy"}, "authorizationpolicies"},
	{schema.GroupVersionKind{Group: "telemetry.istio.io", Version: "v1", Kind: "Telemetry"}, "telemetries"},
}
