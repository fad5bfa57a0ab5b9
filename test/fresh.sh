#!/usr/bin/env bash
# Fails if `make generate` changes anything: what is generated was not generated anew, or was edited by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

sums() { find api config internal/istio examples -type f -print0 | sort -z | xargs -0 sha256sum; }

before=$(sums)
"${MAKE:-make}" --no-print-directory generate >/dev/null
if ! diff <(echo "$before") <(sums) >&2; then
	echo "the files above were not fresh; they are now: review and commit them" >&2
	exit 1
fi
