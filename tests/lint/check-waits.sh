#!/bin/sh
# SPDX-License-Identifier: MIT
# A shard waits in its reactor and nowhere else; and the reactor on io_uring in io_uring_enter() only, by
# uring_ring.c: with IORING_SETUP_DEFER_TASKRUN the kernel completes nothing in any other wait (known failure 19).
# The subjects are the calls of uring_ring_enter(); no file of these rooms may call anything that blocks.
. tests/lint/common.sh
blocking='(^|[^a-z_])(p?poll|epoll_p?wait2?|p?select|sleep|usleep|nanosleep|clock_nanosleep|pthread_cond_(timed)?wait|sem_wait|io_uring_wait_[a-z_]+|io_uring_peek_[a-z_]+)\('
# shellcheck disable=SC2046 # file names without blanks
n=$(grep -hE 'uring_ring_enter\(' $(c_files src/reactor) | wc -l)
wrong=0
for file in $(c_files src/shard src/mesh src/reactor | grep -v '^src/reactor/selftest'); do
        grep -HnE "$blocking" "$file" && wrong=$((wrong + 1))
done
finish waits "$n" "uses of uring_ring_enter" "$wrong"
