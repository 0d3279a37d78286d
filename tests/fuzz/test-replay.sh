#!/bin/sh
# SPDX-License-Identifier: MIT
# Every input of the corpora, through its harness without a fuzzer. Runs in the build directory.
set -u
srcdir=${srcdir:-.}
n=0
failed=0
for harness in config glob patterns reader; do
        corpus=$srcdir/tests/fuzz/corpus/$harness
        [ -d "$corpus" ] || continue
        n=$((n + $(find "$corpus" -type f | wc -l)))
        "tests/fuzz/replay-$harness" "$corpus" || { echo "FAILED $harness" && failed=1; }
done
echo "$n inputs"
[ "$n" -gt 0 ] && [ "$failed" -eq 0 ]
