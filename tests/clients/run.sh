#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the clients' suite: as tests/e2e/run.sh, with the same arguments and variables. The packages of Node.js and the C
# clients must be there (make check-clients); E2E_BUILDDIR names the build directory, if it is not the current one.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
E2E_SUITE=$here/clients.py exec sh "$here/../e2e/run.sh" "$@"
