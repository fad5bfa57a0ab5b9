// Package trace follows a call through the configuration that Istio itself makes of the clusters' resources: from the caller's sidecar over
// gateways to the pods.
//
// In comes a world.World: the clusters as their platforms set them up, their pods, and the rendered bundles. For every control plane Start runs
// Istio's discovery server over a fake API server; its listeners, routes, clusters and endpoints are then matched as Envoy would. Out comes a
// Result per Call: the pods reached, with priority, share, gateways passed, identity seen and policies applied, or why nobody is.
//
// Invariant: nothing is assumed about the resources. What the trace does not understand (an unknown filter, a match it cannot evaluate) is reported
// in Result.Undecided and never passed over.
package trace
