#!/bin/sh
# SPDX-License-Identifier: MIT
# Counts what times cannot show: instructions per delivered message under callgrind, and system calls per turn,
# on fixed traces. Each trace runs twice, the second time twice as long, and the difference is divided by the
# difference in messages: the start is not in it. The load sends a window only when all of the last one has
# arrived, so that every window is a turn.
#
# usage: [REACTOR=libev|io_uring] counts.sh DIRECTORY-OF-LOAD BROKERD [SHAPE]
# Without REACTOR both run, one after the other.
set -eu
bench=$1
brokerd=$2
only=${3:-}
dir=$(mktemp -d "${TMPDIR:-/tmp}/brokerd-counts.XXXXXX")
reactor=
pid=

# The broker: what was started, or, behind strace, its child.
broker() {
        child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
        echo "${child:-$pid}"
}

# kill_broker: at once, and what it runs behind.
kill_broker() {
        [ -n "$pid" ] || return 0
        # shellcheck disable=SC2046 # a list
        kill -KILL $(broker) "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        pid=
        rm -f "$dir/s"
}
trap 'kill_broker; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

# start WORDS...: runs brokerd behind the words until stop.
start() {
        printf 'shards: 1\ncpus: none\nreactor: %s\nspin: 0us\nlisteners:\n  - path: %s\nlog: {level: error}\n' \
                "$reactor" "$dir/s" >"$dir/broker.yaml"
        "$@" "$brokerd" -c "$dir/broker.yaml" >"$dir/log" 2>&1 &
        pid=$!
        n=0
        until [ -S "$dir/s" ]; do
                n=$((n + 1))
                if [ "$n" -gt 600 ] || ! kill -0 "$pid" 2>/dev/null; then
                        cat "$dir/log" >&2
                        return 1
                fi
                sleep 0.1
        done
}

# stop: strace and valgrind pass the signal on, or die of it; the broker ends by SIGTERM.
stop() {
        sleep 0.5 # it has seen the load leave, in each run
        # shellcheck disable=SC2046 # a list
        kill -TERM $(broker)
        wait "$pid" || true
        pid=
        rm -f "$dir/s"
}

# load MESSAGES LOAD-WORDS...
load() {
        "$bench/load" --socket "$dir/s" --warmup 0 --lag 0 --messages "$@" >"$dir/result"
}

# serves WORDS...: whether brokerd, behind the words, delivers a message before long.
serves() {
        r=0
        start "$@" 2>/dev/null || r=1
        [ "$r" -ne 0 ] || timeout 15 "$bench/load" --socket "$dir/s" --warmup 0 --messages 1 >"$dir/result" 2>&1 || r=1
        kill_broker
        return "$r"
}

# instructions MESSAGES LOAD-WORDS...
instructions() {
        start valgrind --tool=callgrind --callgrind-out-file="$dir/callgrind" --log-file="$dir/valgrind"
        load "$@"
        stop
        sed -n 's/^\(totals\|summary\): \([0-9]*\).*/\2/p' "$dir/callgrind" | head -n 1
}

# calls MESSAGES LOAD-WORDS...: prints "calls name" lines.
calls() {
        start strace -f -qq -c -U calls,name -o "$dir/strace"
        load "$@"
        stop
        grep -E '^ *[0-9]+ [a-z_0-9]+$' "$dir/strace" | grep -v total
}

# shape NAME MESSAGES SUBSCRIBERS-PER-MESSAGE PIPELINE LOAD-WORDS...
shape() {
        name=$1 messages=$2 fan=$3 pipeline=$4
        shift 4
        [ -z "$only" ] || [ "$only" = "$name" ] || return 0
        printf '%-14s' "$name"
        if [ "$callgrind" = yes ]; then
                instructions "$messages" --pipeline "$pipeline" "$@" >"$dir/half"
                instructions $((2 * messages)) --pipeline "$pipeline" "$@" >"$dir/full"
                cat "$dir/half" "$dir/full" | awk -v m="$messages" -v fan="$fan" '
                        NR == 1 { n = -$1 }
                        NR == 2 { n += $1 }
                        END {
                                printf " %8.1f instructions per delivery, %9.1f per message;",
                                        n / m / (fan ? fan : 1), n / m
                        }'
        fi
        calls "$messages" --pipeline "$pipeline" "$@" >"$dir/half"
        calls $((2 * messages)) --pipeline "$pipeline" "$@" >"$dir/full"
        awk -v p="$pipeline" -v turns="$((messages / pipeline))" '
                BEGIN { printf " per turn of %d messages:", p }
                NR == FNR { half[$2] = $1; next }
                { x = ($1 - half[$2]) / turns; if (x > 0.005 || x < -0.005) printf " %s %.2f", $2, x }
                END { printf "\n" }' "$dir/half" "$dir/full"
}

shapes() {
        shape fan-50 12800 50 64 --subs 50
        shape fan-500 2560 500 64 --subs 500
        shape fan-50-single 400 50 1 --subs 50
        shape fan-50-1k 3200 50 16 --subs 50 --size 1024
        shape fan-50-16k 800 50 4 --subs 50 --size 16384
        shape one-to-one 25600 1 64 --subs 1
        shape channels-200 12800 1 64 --subs 200 --channels 200
        shape no-receiver 25600 0 64 --subs 0
}

counted=0
for reactor in ${REACTOR:-libev io_uring}; do
        if ! serves; then
                echo "$reactor is left out: $(head -n 1 "$dir/log")"
                continue
        fi
        echo "$reactor:"
        callgrind=yes
        if ! serves valgrind --tool=callgrind --callgrind-out-file="$dir/callgrind" --log-file="$dir/valgrind"; then
                callgrind=no
                echo "valgrind cannot run it here: no instructions, system calls only"
        fi
        shapes
        counted=$((counted + 1))
done
[ "$counted" -gt 0 ]
