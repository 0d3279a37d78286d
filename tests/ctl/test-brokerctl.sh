#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the tests of the brokerctl of this build tree: all files of them, or those whose names are given.
[ -x /usr/bin/python3 ] || { echo "/usr/bin/python3 is missing"; exit 77; }
export BROKERCTL="${BROKERCTL:-./src/brokerctl}" BROKERD="${BROKERD:-./src/brokerd}"
here=${srcdir:-.}/tests/ctl
failed=0
[ $# -gt 0 ] || set -- "$here"/test-*.py
for file; do
        /usr/bin/python3 -B "$file" || failed=1
done
exit $failed
