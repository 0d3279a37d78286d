#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the end-to-end suite with an interpreter that fits. Arguments go to suite.py; a last argument that is a file
# *.e2e or *.clients names a cell of the matrix (its lines are arguments).
#
# BROKERD            the broker to test; src/brokerd of the build directory if not set
# BROKERD_REFERENCE  redis-server: test that instead, to check the suite itself
# BROKERD_E2E_STRICT 1: what is missing on this machine is a failure, not a skip
# E2E_HEAVY          1: the long forms of the cases
# E2E_DEADLINE       seconds that any single answer may take
# E2E_SUITE          the suite; suite.py of this directory if not set
# PYTHON             the interpreter; if not set, the first that has the redis module
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 1

skip() {
        echo "SKIP: $1"
        [ "${BROKERD_E2E_STRICT:-0}" = 1 ] && exit 1
        exit 77
}

fits='import sys; sys.exit(sys.version_info < (3, 9))'
python=
for try in ${PYTHON:-} /usr/bin/python3 python3; do
        if "$try" -c "$fits; import redis" 2>/dev/null; then
                python=$try
                break
        fi
done
for try in ${PYTHON:-} /usr/bin/python3 python3; do
        [ -n "$python" ] && break
        "$try" -c "$fits" 2>/dev/null && python=$try
done
[ -n "$python" ] || skip "no python3 (3.9 or later) is installed"

words=
for last in "$@"; do :; done
case ${last:-} in
*.e2e | *.clients)
        words=$(sed 's/#.*//' "$last")
        set --
        ;;
esac

# shellcheck disable=SC2086 # words are options
PYTHONDONTWRITEBYTECODE=1 exec "$python" "${E2E_SUITE:-$here/suite.py}" $words "$@"
