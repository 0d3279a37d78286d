#!/bin/sh
# SPDX-License-Identifier: MIT
# Shell scripts parse, and shellcheck, where there is one, has no complaint.
. tests/lint/common.sh
n=0
wrong=0
for file in $(grep -rlE '^#!/(usr/)?bin/(env )?(ba)?sh' .ci tests etc 2>/dev/null | sort); do
        n=$((n + 1))
        shell=$(head -n 1 "$file" | sed 's|.*[/ ]||')
        "$shell" -n "$file" || wrong=$((wrong + 1))
        if command -v shellcheck >/dev/null; then
                shellcheck -S warning -e SC1091 "$file" || wrong=$((wrong + 1))
        fi
done
finish shell "$n" "shell scripts" "$wrong"
