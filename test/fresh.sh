#!/usr/bin/env bash
# Fails if `make generate` changes a file, because it is stale or was edited by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

sums() { find api config internal/istio examples -type f -print0 | sort -z | xargs -0 sha256sum; }

before=$(sums)
"${MAKE:-make}" --no-print-directory generate >/dev/null
if ! diff <(echo "$before") <(sums) >&2; then
	echo "the files above were stale and are regenerated: review and commit them" >&2
	exit 1
fi
