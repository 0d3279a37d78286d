#!/bin/sh
# SPDX-License-Identifier: MIT
# Reports functions over 70 lines and files over 500, for review to ask why; neither is an error.
. tests/lint/common.sh
report=$(c_files | xargs awk '
        FNR == 1 { if (last_file && last > 500) printf "note: %s: %d lines\n", last_file, last; inside = 0 }
        { last_file = FILENAME; last = FNR }
        /^[a-zA-Z_].*\(/ { head = $0 }
        /^\{/ { start = FNR; inside = 1; next }
        /^\}/ && inside {
                inside = 0
                if (head == "")
                        next
                n++
                lines = FNR - start - 1
                size[n] = lines
                if (lines > 70) {
                        name = head
                        sub(/\(.*/, "", name)
                        sub(/.*[ *]/, "", name)
                        printf "note: %s:%d: %s has %d lines\n", FILENAME, start, name, lines
                }
                head = ""
        }
        END {
                if (last > 500)
                        printf "note: %s: %d lines\n", last_file, last
                for (i = 1; i <= n; i++)
                        short += size[i] <= 15
                printf "count %d %d\n", n, short
        }')
echo "$report" | grep -v '^count '
read -r _ n short <<END
$(echo "$report" | grep '^count ')
END
finish length "$n" "functions, $short of them of at most 15 lines" 0
