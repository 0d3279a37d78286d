#!/bin/sh
# SPDX-License-Identifier: MIT
# Counts what times cannot show: instructions per delivered message under callgrind, and system calls per turn,
# on fixed traces. Each trace runs twice, the second time twice as long, and the difference is divided by the
# difference in messages: the start is not in it. The load sends a window only when all of the last one has
# arrived, so that every window is a turn.
#
# usage: counts.sh DIRECTORY-OF-LOAD BROKERD [SHAPE]
set -eu
bench=$1
brokerd=$2
only=${3:-}
dir=$(mktemp -d "${TMPDIR:-/tmp}/brokerd-counts.XXXXXX")
pid=
# shellcheck disable=SC2064 # the directory is known now
trap "[ -z \"\$pid\" ] || kill \"\$pid\" 2>/dev/null; rm -rf '$dir'" EXIT

# start WORDS...: runs brokerd behind the words until stop.
start() {
        printf 'shards: 1\ncpus: none\nreactor: %s\nspin: 0us\nlisteners:\n  - path: %s\nlog_level: error\n' \
                "${REACTOR:-libev}" "$dir/s" >"$dir/broker.yaml"
        "$@" "$brokerd" -c "$dir/broker.yaml" >"$dir/log" 2>&1 &
        pid=$!
        n=0
        until [ -S "$dir/s" ]; do
                n=$((n + 1))
                [ "$n" -lt 600 ] || { cat "$dir/log" >&2 && exit 1; }
                sleep 0.1
        done
}

# stop: strace and valgrind pass the signal on, or die of it; the broker ends by SIGTERM.
stop() {
        sleep 0.5 # it has seen the load leave, in each run
        child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
        # shellcheck disable=SC2086 # a list
        kill -TERM ${child:-$pid}
        wait "$pid" || true
        pid=
        rm -f "$dir/s"
}

# instructions MESSAGES LOAD-WORDS...
instructions() {
        start valgrind --tool=callgrind --callgrind-out-file="$dir/callgrind" --log-file="$dir/valgrind"
        "$bench/load" --socket "$dir/s" --warmup 0 --lag 0 --messages "$@" >"$dir/result"
        stop
        sed -n 's/^\(totals\|summary\): \([0-9]*\).*/\2/p' "$dir/callgrind" | head -n 1
}

# calls MESSAGES LOAD-WORDS...: prints "calls name" lines.
calls() {
        start strace -f -qq -c -U calls,name -o "$dir/strace"
        "$bench/load" --socket "$dir/s" --warmup 0 --lag 0 --messages "$@" >"$dir/result"
        stop
        grep -E '^ *[0-9]+ [a-z_0-9]+$' "$dir/strace" | grep -v total
}

# shape NAME MESSAGES SUBSCRIBERS-PER-MESSAGE PIPELINE LOAD-WORDS...
shape() {
        name=$1 messages=$2 fan=$3 pipeline=$4
        shift 4
        [ -z "$only" ] || [ "$only" = "$name" ] || return 0
        half=$(instructions "$messages" --pipeline "$pipeline" "$@")
        full=$(instructions $((2 * messages)) --pipeline "$pipeline" "$@")
        awk -v name="$name" -v n="$((full - half))" -v m="$messages" -v fan="$fan" -v p="$pipeline" 'BEGIN {
                printf "%-14s %8.1f instructions per delivery, %9.1f per message; per turn of %d messages:",
                        name, n / m / (fan ? fan : 1), n / m, p }'
        calls "$messages" --pipeline "$pipeline" "$@" >"$dir/half"
        calls $((2 * messages)) --pipeline "$pipeline" "$@" >"$dir/full"
        awk -v turns="$((messages / pipeline))" 'NR == FNR { half[$2] = $1; next }
                { x = ($1 - half[$2]) / turns; if (x > 0.005 || x < -0.005) printf " %s %.2f", $2, x }
                END { printf "\n" }' "$dir/half" "$dir/full"
}

shape fan-50 12800 50 64 --subs 50
shape fan-500 2560 500 64 --subs 500
shape fan-50-single 400 50 1 --subs 50
shape fan-50-1k 3200 50 16 --subs 50 --size 1024
shape fan-50-16k 800 50 4 --subs 50 --size 16384
shape one-to-one 25600 1 64 --subs 1
shape channels-200 12800 1 64 --subs 200 --channels 200
shape no-receiver 25600 0 64 --subs 0
