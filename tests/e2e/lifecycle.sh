#!/bin/sh
# SPDX-License-Identifier: MIT
# The command line, the start and the stop of the broker, as a process among others. Arguments are names of cases.
#
# BROKERD            the broker to test; src/brokerd of the build directory if not set
# BROKERD_E2E_STRICT 1: what is missing on this machine is a failure, not a skip
# PYTHON             the interpreter
# LIFECYCLE          the file of cases, for the scripts beside this one
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 1
for try in ${PYTHON:-} /usr/bin/python3 python3; do
        if "$try" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
                PYTHONDONTWRITEBYTECODE=1 exec "$try" "$here/${LIFECYCLE:-lifecycle.py}" "$@"
        fi
done
echo "SKIP: no python3 (3.9 or later) is installed"
[ "${BROKERD_E2E_STRICT:-0}" = 1 ] && exit 1
exit 77
