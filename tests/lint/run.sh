#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every check of this directory over the source tree, all of them even if one fails. A check prints what is
# wrong and a last line "ok NAME: N subjects"; one that found no subject fails.
set -u
here=$(dirname "$0")
cd "$here/../.." || exit 1
export LC_ALL=C
failed=0
n=0

for check in tests/lint/check-*.sh; do
        n=$((n + 1))
        sh "$check" || { echo "FAILED $check" && failed=$((failed + 1)); }
done
[ "$n" -gt 0 ] && [ "$failed" -eq 0 ] || exit 1
echo "ok lint: $n checks"
