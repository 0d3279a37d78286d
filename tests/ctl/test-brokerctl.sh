#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the tests of the brokerctl of this build tree.
[ -x /usr/bin/python3 ] || { echo "/usr/bin/python3 is missing"; exit 77; }
export BROKERCTL="${BROKERCTL:-./src/brokerctl}" BROKERD="${BROKERD:-./src/brokerd}"
exec /usr/bin/python3 -B "${srcdir:-.}/tests/ctl/test-brokerctl.py" "$@"
