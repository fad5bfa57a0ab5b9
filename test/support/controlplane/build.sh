#!/usr/bin/env bash
# Builds kube-apiserver, kubectl and etcd from their Go modules into a cache outside the checkout and prints
# that folder, in the form that KUBEBUILDER_ASSETS has. KUBEBUILDER_ASSETS, when set, is taken as it is.
set -euo pipefail

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	echo "$KUBEBUILDER_ASSETS"
	exit 0
fi

cd "$(dirname "$0")"
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
etcd=$(go list -m -f '{{.Version}}' go.etcd.io/etcd/server/v3)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/isthmus/controlplane/kubernetes-$kubernetes-etcd-$etcd"
mkdir -p "$cache"

# One builder at a time; a build that was cut off leaves nothing under the final name.
exec 9>"$cache/.lock"
if command -v flock >/dev/null; then flock 9; fi

build() { # name, package, ldflags
	if [ -x "$cache/$1" ]; then return; fi
	echo "building $1 (once; kept in $cache)" >&2
	start=$(date +%s)
	CGO_ENABLED=0 go build -trimpath -ldflags "$3" -o "$cache/.$1.new" "$2" >&2
	mv "$cache/.$1.new" "$cache/$1"
	echo "built $1 in $(($(date +%s) - start)) s" >&2
}

minor=${kubernetes#v1.}
minor=${minor%%.*}
version=k8s.io/component-base/version
stamp="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor"
build etcd go.etcd.io/etcd/server/v3 "-s -w"
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver \
	"$stamp"
build kubectl k8s.io/kubernetes/cmd/kubectl "$stamp"

echo "$cache"
