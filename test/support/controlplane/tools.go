//go:build tools

// Package controlplane pins the servers that the tests and the demo run: it exists for its go.mod.
// kube-apiserver, kubectl and etcd are built from their own modules, so that a machine with Go, make and git
// needs nothing else.
package controlplane

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
