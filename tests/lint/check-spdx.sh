#!/bin/sh
# SPDX-License-Identifier: MIT
# Every file that can hold a comment names its licence in its first three lines.
. tests/lint/common.sh
n=0
wrong=0
for file in $(find src tests etc man .ci configure.ac Makefile.am -type f 2>/dev/null | sort); do
        case $file in
        *.md | */__pycache__/* | */node_modules/* | */package-lock.json | */corpus/* | *~ | *.[oa] | *.log | *.trs | */.dirstamp | */.deps/*) continue ;;
        esac
        n=$((n + 1))
        head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || { echo "$file: no SPDX line" && wrong=$((wrong + 1)); }
done
finish spdx "$n" "files" "$wrong"
