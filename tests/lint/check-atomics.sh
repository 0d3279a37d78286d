#!/bin/sh
# SPDX-License-Identifier: MIT
# Atomics live in src/mesh/ only, and no fence is used there: ThreadSanitizer does not model fences. The subjects
# are the lines of src/mesh/ that use an atomic; the other rooms must have none.
. tests/lint/common.sh
pattern='(_Atomic|atomic_[a-z_]+|__atomic_[a-z_]+|__sync_[a-z_]+)[ (]'
# shellcheck disable=SC2046 # file names without blanks
n=$(grep -hE "$pattern" $(c_files src/mesh) | wc -l)
wrong=0
for file in $(c_files src | grep -v '^src/mesh/'); do
        grep -HnE "$pattern" "$file" && wrong=$((wrong + 1))
done
for file in $(c_files src/mesh); do
        grep -HnE 'atomic_(thread|signal)_fence *\(|__sync_synchronize' "$file" && wrong=$((wrong + 1))
done
finish atomics "$n" "uses of atomics in mesh" "$wrong"
