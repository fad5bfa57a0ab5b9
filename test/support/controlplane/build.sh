#!/usr/bin/env bash
# Builds etcd and kube-apiserver from their Go modules and prints the folder that holds them, as
# KUBEBUILDER_ASSETS has it. The folder is in the user's cache, so each version is built once.
# `build.sh kubectl` builds kubectl as well. If KUBEBUILDER_ASSETS is set, the script prints it and
# builds nothing.
set -euo pipefail

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	echo "$KUBEBUILDER_ASSETS"
	exit 0
fi

cd "$(dirname "$0")"
read -r kubernetes etcd <<<"$(go list -m -f '{{.Version}}' k8s.io/kubernetes go.etcd.io/etcd/server/v3 | xargs)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/isthmus/controlplane/kubernetes-$kubernetes-etcd-$etcd"
missing=()
for program in etcd kube-apiserver "$@"; do
	case $program in
	etcd | kube-apiserver | kubectl) ;;
	*) echo "usage: build.sh [kubectl]" >&2 && exit 2 ;;
	esac
	[ -x "$cache/$program" ] || missing+=("$program")
done
if [ ${#missing[@]} = 0 ]; then
	echo "$cache"
	exit 0
fi

# One build at a time. A build that is interrupted leaves nothing under the final name.
mkdir -p "$cache"
exec 9>"$cache/.lock"
if command -v flock >/dev/null && ! flock -n 9; then
	echo "waiting for another build in $cache" >&2
	flock 9
fi

# bash before version 4 (macOS) cannot tell a timeout from the end of the input. There the line is
# updated only when a package is done.
tick=""
if [ "${BASH_VERSINFO[0]}" -ge 4 ]; then tick="-t 1"; fi

# clear empties the current line of a terminal.
clear=""
if [ -t 2 ]; then clear=$'\r\033[K'; fi

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# progress reads what the go command writes to stderr and shows how far it is: one line that is
# updated on a terminal, otherwise a line every 15 s. Errors are passed on.
progress() { # name, number of packages to compile (0: not known yet)
	local start=$SECONDS shown=$SECONDS downloads=0 packages=0 line state took
	while read -r $tick line || [ $? -gt 128 ]; do
		case $line in
		"") ;;
		"go: downloading "*) downloads=$((downloads + 1)) ;;
		*[!a-zA-Z0-9/._~+-]*) echo "$clear$line" >&2 ;;
		*) packages=$((packages + 1)) ;;
		esac
		took=$((SECONDS - start))
		if [ "$2" = 0 ]; then
			state="loading packages, $downloads modules downloaded, $(clock $took)"
		elif [ $packages -ge "$2" ]; then
			state="linking, $(clock $took)"
		else
			state="$packages of $2 packages, $(clock $took)"
			if [ $packages -gt 0 ] && [ $took -ge 10 ]; then
				state="$state, about $(clock $((took * ($2 - packages) / packages))) left"
			fi
		fi
		if [ -t 2 ]; then
			printf '%s%s: %s' "$clear" "$1" "$state" >&2
		elif [ $((SECONDS - shown)) -ge 15 ]; then
			shown=$SECONDS
			echo "$1: $state" >&2
		fi
	done
	printf '%s' "$clear" >&2
}

build() { # name, package, flags of the linker
	if [ -x "$cache/$1" ]; then return; fi
	local start=$SECONDS packages
	number=$((number + 1))
	local name="$1 ($number of ${#missing[@]})"
	export CGO_ENABLED=0
	# Stale packages are those that the build cache lacks.
	go list -trimpath -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' "$2" 2>&1 >"$cache/.$1.packages" | progress "$name" 0
	packages=$(grep -c . "$cache/.$1.packages" || true)
	go build -v -trimpath -ldflags "$3" -o "$cache/.$1.new" "$2" 2>&1 >/dev/null | progress "$name" "$packages"
	mv "$cache/.$1.new" "$cache/$1"
	rm "$cache/.$1.packages"
	echo "built $1 in $(clock $((SECONDS - start)))" >&2
}

number=0
minor=${kubernetes#v1.}
minor=${minor%%.*}
version=k8s.io/component-base/version
stamp="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor"
echo "building ${missing[*]}; this happens once, and takes some minutes (kept in $cache)" >&2
for program in "${missing[@]}"; do
	case $program in
	etcd) build etcd go.etcd.io/etcd/server/v3 "-s -w" ;;
	*) build "$program" "k8s.io/kubernetes/cmd/$program" "$stamp" ;;
	esac
done

echo "$cache"
