#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-format has nothing to change.
. tests/lint/common.sh
wrong=0
n=0
for file in $(c_files); do
        n=$((n + 1))
        clang-format --dry-run -Werror "$file" || wrong=$((wrong + 1))
done
finish format "$n" "C files" "$wrong"
