// Package v1alpha1 has the types of the API group isthmus.dev.
//
// A [MeshSync] keeps the Istio resources of one cluster equal to a shared Git repository. Its spec
// names the mesh repository and the cluster; its status reports the applied commit, problems and
// pending decisions of users. Field names, conditions, the annotation
// reconcile.fluxcd.io/requestedAt and the history follow Flux, so that tools for Flux can read
// them.
//
// +kubebuilder:object:generate=true
// +groupName=isthmus.dev
package v1alpha1

//go:generate go tool -modfile=../../tools/go.mod controller-gen object crd paths=. output:crd:artifacts:config=../../config/crd/bases
