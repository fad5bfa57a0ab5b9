package istio

import "k8s.io/apimachinery/pkg/runtime/schema"

// Kind is one managed kind.
type Kind struct {
	schema.GroupVersionKind
	// Resource is the plural name in the API, "virtualservices".
	Resource string
}

// Kinds lists what Isthmus may write, in the order in which the kinds are created; deletion goes the other way
// round. EnvoyFilter is left out on purpose: it can do anything to a proxy, so no mesh repository should.
var Kinds = []Kind{
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
