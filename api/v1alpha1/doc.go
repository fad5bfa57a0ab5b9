// Package v1alpha1 is the API of the group isthmus.dev: [MeshSync], which keeps one cluster's Istio
// resources equal to what a shared Git repository says.
//
// A MeshSync says where the mesh repository is and which cluster of its inventory this one is; its status says
// what was applied from which commit, what was refused, and what a person has to do. Field names, conditions,
// the request annotation and the history follow Flux, so its tooling reads them.
//
// +kubebuilder:object:generate=true
// +groupName=isthmus.dev
package v1alpha1

//go:generate go tool -modfile=../../tools/go.mod controller-gen object crd paths=. output:crd:artifacts:config=../../config/crd/bases
