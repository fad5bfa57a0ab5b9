package istio

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is a managed kind.
type Kind struct {
	schema.GroupVersionKind
	// Resource is the plural name in the API, such as "virtualservices".
	Resource string
}

// BuiltIn reports whether the kind has no CRD.
func (k Kind) BuiltIn() bool { return k.Group == corev1.GroupName }

// Kinds are the managed kinds in the order of their creation. Deletion uses the reverse order.
// EnvoyFilter is omitted on purpose, because it can change proxies in any way. Services must be
// stubs (stub.yaml). They come first, so that a name resolves before routes use it.
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
