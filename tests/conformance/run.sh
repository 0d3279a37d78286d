#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the conformance suite; see README. A last argument that is a file *.conf names a cell of the matrix (its lines
# are arguments).
#
# BROKERD            the broker to test; src/brokerd of the build directory if not set
# BROKERD_E2E_STRICT 1: what is missing on this machine is a failure, not a skip
# E2E_DEADLINE       seconds that any single answer may take
# PYTHON             the interpreter; python3 if not set
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 1
python=
for try in ${PYTHON:-} /usr/bin/python3 python3; do
        [ -n "$python" ] && break
        "$try" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null && python=$try
done
if [ -z "$python" ]; then
        echo "SKIP: no python3 (3.9 or later) is installed"
        [ "${BROKERD_E2E_STRICT:-0}" = 1 ] && exit 1
        exit 77
fi

words=
for last in "$@"; do :; done
case ${last:-} in
*.conf)
        words=$(sed 's/#.*//' "$last")
        set --
        ;;
esac

# shellcheck disable=SC2086 # words are options
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/conform.py" $words "$@"
