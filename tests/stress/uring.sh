#!/bin/sh
# SPDX-License-Identifier: MIT
# The load programs against a broker on io_uring; each has its say in the log.
for program in stress stop idle; do
        BROKERD_REACTOR=io_uring "tests/stress/$program" || exit $?
done
