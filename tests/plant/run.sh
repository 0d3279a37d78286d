#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the tests of shards and reactors once per planted bug (-DPLANT=n, src/util/plant.h) and demands that each is
# caught. Prints the first test that caught it. Usage: tests/plant/run.sh [NUMBER...], from a configured build directory.
set -u
src=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
CC=${CC:-gcc}
CFLAGS=${CFLAGS:--O1 -g}
libs="$(pkg-config --cflags --libs check) -lev -luring -pthread"
bugs='
1  landing a spilled message is not announced
2  a new message overtakes the backlog
3  free space is not announced to a port that spilled
4  a port parks without a second look
5  a source over its budget loses its bit
6  a subscription is acknowledged before the other shards know
7  an open run is not settled before another command
8  a slice is extended over bytes that are not its own
9  a publisher hears itself before its reply
10 an unsubscription overlooks a pending one on its shard
11 a client that ends leaves its interest behind
12 what a slow client has not taken stays in shared stages
13 a publisher does not wait at the bound of a backlog
14 an end of file does not wait for what was said before
15 a partly sent slice is sent again from its start
16 a subscription joins its topic before its acknowledgement
17 a send that was cut short counts as whole
18 a receive that has ended is not asked for again
19 a stream is closed while the kernel still has a request of it
20 the reactor sleeps over streams that found no buffer
21 the output of a removed stream is freed under a send
22 an end that the kernel never tells is not looked for
23 a frame of which a part was sent is dropped with others
24 a loss is told at the end of what waits, not in its place
25 what was lost before a client asked for notices is told
28 a shard sleeps although publishers need wait no more
29 a hold that comes back stops those who waited for the last one
30 a publisher waits for its own subscription
31 control refuses without a recall of what others do not use
32 a lease stays with a shard that its user has left
33 messages in backlogs of the mesh are charged to nobody
34 a client publishes that has to authenticate first
35 an answer about a secret that is no more lets a client in
'
build() { # program, its sources
        out=$1
        shift
        # shellcheck disable=SC2086
        $CC -std=gnu11 -D_GNU_SOURCE $CFLAGS -DPLANT="$n" -I. -I"$src/src" -I"$src/tests" "$@" "$work/all.a" $libs \
                -o "$work/$out"
}
caught=0
missed=0
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(echo "$bugs" | awk 'NF { print $1 }')
for n in "$@"; do
        rm -f "$work"/*.[oa]
        for room in util mesh resp pubsub reactor shard; do
                for file in "$src/src/$room"/*.c; do
                        [ "$(basename "$file")" != uring-none.c ] || continue
                        # shellcheck disable=SC2086
                        $CC -std=gnu11 -D_GNU_SOURCE $CFLAGS -DPLANT="$n" -I. -I"$src/src" -c "$file" \
                                -o "$work/$room-$(basename "$file" .c).o" || exit 1
                done
        done
        # an archive, so that a test may have its own uring_ring.c
        ar cr "$work/all.a" "$work"/*.o || exit 1
        support="$src/tests/support/cluster.c $src/tests/support/reactor_fake.c"
        build test-outq "$src/tests/reactor/test-outq.c" || exit 1
        build test-uring "$src/tests/reactor/test-uring.c" "$src/tests/reactor/peers.c" "$src"/tests/reactor/replay*.c \
                "$src/tests/support/uring_ring_fake.c" || exit 1
        build test-port "$src/tests/mesh/test-port.c" || exit 1
        build test-topics "$src/tests/pubsub/test-topics.c" || exit 1
        # shellcheck disable=SC2086
        build test-shard "$src/tests/shard/test-shard.c" $support || exit 1
        # shellcheck disable=SC2086
        build test-auth "$src/tests/shard/test-auth.c" $support || exit 1
        # shellcheck disable=SC2086
        build test-block "$src/tests/shard/test-block.c" $support || exit 1
        # shellcheck disable=SC2086
        build sim "$src/tests/sim/sim.c" $support || exit 1
        accounts="$support $src/tests/support/accounts.c $src/src/broker/ledger.c"
        # shellcheck disable=SC2086
        build test-user "$src/tests/shard/test-user.c" $accounts || exit 1
        # shellcheck disable=SC2086
        build accounts "$src/tests/sim/accounts.c" $accounts || exit 1
        # shellcheck disable=SC2086
        build slow "$src/tests/sim/slow.c" $support || exit 1
        by=
        for test in test-topics test-outq test-uring test-shard test-auth sim slow test-block test-user accounts test-port; do
                timeout 120 "$work/$test" >"$work/log" 2>&1 && continue
                by=$test
                break
        done
        what=$(echo "$bugs" | awk -v n="$n" '$1 == n { $1 = ""; print }')
        if [ -n "$by" ]; then
                caught=$((caught + 1))
                printf '%2d %-62s caught by %s\n' "$n" "$what" "$by"
        else
                missed=$((missed + 1))
                printf '%2d %-62s NOT CAUGHT\n' "$n" "$what"
        fi
done
echo "planted bugs: $caught caught, $missed missed"
[ "$missed" -eq 0 ] && [ "$caught" -gt 0 ]
