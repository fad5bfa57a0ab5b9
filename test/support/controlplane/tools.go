//go:build tools

// Package controlplane pins the servers that the tests and the demo run. It exists for its go.mod.
// build.sh builds kube-apiserver, etcd and kubectl from their modules, so that a machine with Go,
// make and git needs nothing else.
//
// etcd has the version that kubeadm installs for this Kubernetes. Shared dependencies have the
// versions of the main module, so that `make build` and build.sh compile them only once.
package controlplane

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
