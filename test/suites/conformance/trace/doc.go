// Package trace follows a call through the Envoy configuration that Istio generates from the
// rendered resources: from the caller's sidecar through gateways to the pods.
//
// In: a [scenario.Scenario]. [Start] runs Istio's discovery server for each control plane, with a
// fake API server. [Mesh.Trace] matches listeners, routes, clusters and endpoints as Envoy does.
// Out: a [Result] per call with the pods reached, their priority and share, the gateways passed,
// the identity seen and the policies applied, or the reason of the failure.
//
// Invariant: nothing is assumed about the resources. Configuration that the trace does not support
// (an unknown filter, an unknown matcher) is reported in Result.Undecided and never ignored.
package trace
