#!/bin/sh
# SPDX-License-Identifier: MIT
# mandoc has no complaint about the manual pages.
. tests/lint/common.sh
n=0
wrong=0
for page in $(find man -name '*.[1-8]' -o -name '*.[1-8].in' 2>/dev/null | sort); do
        n=$((n + 1))
        mandoc -Tlint -Wwarning "$page" || wrong=$((wrong + 1))
done
finish man "$n" "manual pages" "$wrong"
