#!/bin/sh
# SPDX-License-Identifier: MIT
# tests/e2e/lifecycle.sh of a broker on io_uring, and what is particular to that.
BROKERD_REACTOR=io_uring exec sh "$(dirname "$0")/lifecycle.sh" "$@"
