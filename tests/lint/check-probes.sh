#!/bin/sh
# SPDX-License-Identifier: MIT
# brokerd-internals(7) has every probe of the code with its number of arguments, and no other.
. tests/lint/common.sh
code=$(mktemp)
manual=$(mktemp)
trap 'rm -f "$code" "$manual"' EXIT

grep -rhoE '\bPROBE[0-9]\([a-z_]+' src --include='*.c' | sed 's/PROBE\([0-9]\)(\(.*\)/\2 \1/' | sort -u >"$code"
sed -n '/probes: begin/,/probes: end/p' man/brokerd-internals.7 |
        awk '$1 == ".It" && $2 == "Fn" { print $3, NF - 3 }' | sort -u >"$manual"
wrong=0
diff "$code" "$manual" || wrong=$?
finish probes "$(wc -l <"$code")" "probes" "$wrong"
