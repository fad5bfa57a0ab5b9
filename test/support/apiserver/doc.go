// Package apiserver starts real API servers on this machine, one for each cluster that a test or the demo needs.
//
// In: names of clusters and the CRDs that they shall have. Out: a [Fleet] of kube-apiserver processes over one
// etcd, each with an administrator's connection, and users with exactly the rights that are given. There are
// no other components: nothing runs pods, and a deleted namespace stays Terminating for ever.
//
// The binaries come from KUBEBUILDER_ASSETS, and where that is unset from test/support/controlplane/build.sh of the
// module that the working directory is in.
package apiserver
