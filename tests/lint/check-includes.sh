#!/bin/sh
# SPDX-License-Identifier: MIT
# The rooms keep to the house's plan: which room includes which, and which file may see which library. An edge is
# one #include of a file in src/, or in the tests of a room, that names a room or a guarded library.
. tests/lint/common.sh
edges=$(mktemp)
trap 'rm -f "$edges"' EXIT

c_files | xargs awk '
        /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
                target = $0
                sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", target)
                sub(/[>"].*/, "", target)
                print FILENAME, FNR, target
        }' >"$edges"

awk '
        BEGIN {
                split("mesh resp pubsub reactor", list, " ")
                for (i in list)
                        pillar[list[i]] = 1
                split("util mesh resp pubsub reactor shard broker ctl", list, " ")
                for (i in list)
                        room[list[i]] = 1
        }
        function may(from, to) {
                if (from == to || to == "util")
                        return 1
                if (from == "shard")
                        return to in pillar
                if (from == "broker")
                        return to != "ctl"
                return 0
        }
        function library_ok(file, target) {
                if (target == "stdatomic.h")
                        return file ~ /^src\/mesh\// || file ~ /^tests\//
                if (target == "ev.h")
                        return file ~ /^src\/reactor\/ev\.c$/ || file ~ /^src\/broker\/(control|acceptor)\.[ch]$/ || file ~ /^tests\//
                if (target ~ /^liburing/)
                        return file ~ /^src\/reactor\/uring/ || file ~ /^tests\//
                if (target == "yaml.h")
                        return file ~ /^src\/broker\/config[^\/]*\.[ch]$/ || file ~ /^tests\//
                if (target == "crypt.h")
                        return file ~ /^src\/broker\/secrets\.c$/ || file ~ /^tests\//
                if (target ~ /^hiredis\//)
                        return file ~ /^src\/ctl\// || file ~ /^tests\//
                if (target ~ /^n?curses/)
                        return file ~ /^src\/ctl\/top_screen\.c$/
                return -1
        }
        {
                file = $1
                n_parts = split(file, part, "/")
                split($3, to, "/")
                ok = -1
                if (to[1] in room && $3 ~ /\//) {
                        # The tests of a room link that room and the ground only; other tests may take what they need.
                        if (part[2] in room && n_parts > 2)
                                ok = may(part[2], to[1])
                        else
                                next
                } else {
                        ok = library_ok(file, $3)
                }
                if (ok < 0)
                        next
                n++
                if (!ok) {
                        printf "%s:%d: may not include %s\n", file, $2, $3
                        wrong++
                }
        }
        END { print "edges", n + 0, wrong + 0 }
' "$edges" >"$edges.out"
grep -v '^edges ' "$edges.out"
read -r _ n wrong <<END
$(grep '^edges ' "$edges.out")
END
rm -f "$edges.out"
finish includes "$n" "include edges" "$wrong"
