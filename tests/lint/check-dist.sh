#!/bin/sh
# SPDX-License-Identifier: MIT
# Every C file of src/ and tests/ is named in Makefile.am, so the tarball holds it.
. tests/lint/common.sh
n=0
wrong=0
for file in $(c_files); do
        n=$((n + 1))
        grep -qF "$file" Makefile.am || { echo "$file: not in Makefile.am" && wrong=$((wrong + 1)); }
done
finish dist "$n" "C files" "$wrong"
